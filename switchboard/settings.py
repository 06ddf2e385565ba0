"""The settings: those of `switchboard.toml`, overruled by the environment, overruled by the command line.

All of them are checked when the server starts, the lines' workflows and arguments included, and all that is wrong is told at once.
Secrets are never shown, neither by `repr` nor in an error.
"""

import os
import re
import tomllib
import traceback
from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    IPvAnyNetwork,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from switchboard.errors import SettingsError
from switchboard.fields import ApiUrl, Duration, Language, LineAddress, Origin, PerTime, PublicUrl, StoreUrl, Text, TimeZone, meant
from switchboard.secrets import Development, development
from workflows.errors import ArgumentsError, WorkflowError
from workflows.registry import Registry

FILE: Final = Path("switchboard.toml")

ENVIRONMENT: Final[Mapping[str, tuple[str, ...]]] = {
    "PUBLIC_URL": ("server", "public_url"),
    "REDIS_URL": ("store", "url"),
    "TWILIO_ACCOUNT_SID": ("account_sid",),
    "TWILIO_AUTH_TOKEN": ("auth_token",),
    "SLACK_SIGNING_SECRET": ("slack_signing_secret",),
    "SLACK_BOT_TOKEN": ("slack_bot_token",),
    "SLACK_APP_TOKEN": ("slack_app_token",),
    "SLACK_API_URL": ("slack_api_url",),
    "ALEXA_SKILL_ID": ("alexa_skill_id",),
    "OPENAI_API_KEY": ("openai_api_key",),
    "OPENAI_BASE_URL": ("openai_base_url",),
    "OPENAI_MODEL": ("openai_model",),
    "DUFFEL_ACCESS_TOKEN": ("duffel_access_token",),
    "METRICS_TOKEN": ("metrics_token",),
    "DUFFEL_API_URL": ("duffel_api_url",),
    "PHONE_PAGE_TOKEN": ("phone_page_token",),
}
"""What the environment may set, and where it belongs. An empty variable counts as none."""

MOST_PORT: Final = 65_535

SLACK: Final = "https://slack.com/api/"
SIMULATED_SLACK: Final = "http://127.0.0.1:8091/api/"

_INSIDE: Final = re.compile(r" - at `\$(\S+)`")
"""Where in the arguments msgspec found something wrong."""


class _Table(BaseModel):
    """What all tables have in common: nothing unknown, nothing changed later, and no value in an error's text."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, strict=True)


def _line(value: object) -> object:
    if isinstance(value, str):
        return {"workflow": value}
    if isinstance(value, dict | Line):
        return value
    raise ValueError('write the name of a workflow, or a table such as { workflow = "santa", locale = "en-GB" }')


class Line(_Table):
    """What answers at an address.

    `workflow` by its name in the registry; `args` checked and completed by its parameters, as plain values. `locale` is a BCP 47 tag,
    `timezone` an IANA name, `voice` a hint for channels that speak. `busy`: what becomes of an input that comes before the one before
    is answered, `queue` or `reject`.
    """

    workflow: Text
    args: dict[str, Any] = Field(default={}, validate_default=True)
    locale: Language = "en-GB"
    timezone: TimeZone = "UTC"
    voice: Text | None = None
    busy: Literal["queue", "reject"] = "queue"

    @field_validator("workflow")
    @classmethod
    def _is_known(cls, name: str, info: ValidationInfo) -> str:
        try:
            _registry(info).get(name)
        except WorkflowError as error:
            raise ValueError(str(error).removeprefix("workflow ")) from None
        except Exception as error:  # noqa: BLE001 - whatever the import of the author's module raises
            frame = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{error.filename}:{error.lineno}" if isinstance(error, SyntaxError) else f"{frame.filename}:{frame.lineno}"
            raise ValueError(f"{name} cannot be imported: {type(error).__name__}: {error} (at {place})") from None
        return name

    @field_validator("args")
    @classmethod
    def _fit(cls, args: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        name = info.data.get("workflow")
        if name is None:  # it was refused itself
            return args
        try:
            return _registry(info).get(name).bind((), args)
        except ArgumentsError as error:
            where = _INSIDE.search(str(error))
            reason = _INSIDE.sub("", str(error).removeprefix("workflow "))
            raise PydanticCustomError("args", "{reason}", {"reason": reason, "inside": where[1] if where else ""}) from None


class ServerSettings(_Table):
    """Where the server listens, how the world reaches it, and what a connection may cost.

    `trusted_proxies`: the networks whose `X-Forwarded-*` headers are believed. `max_body` is in bytes. The time-outs are for the whole
    header, the whole body, and the time between two requests of a connection. `open_metrics`: whoever reaches the server may read them;
    `metrics_port`: where each process can be asked for its own, the first worker there, the next one a port further, and so on.
    """

    host: Text = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=MOST_PORT)
    public_url: PublicUrl | None = None
    trusted_proxies: list[IPvAnyNetwork] = []
    max_body: int = Field(default=64 * 1024, ge=1024)
    max_connections: int = Field(default=1_000, ge=1)
    header_timeout: Duration = timedelta(seconds=10)
    body_timeout: Duration = timedelta(seconds=10)
    idle_timeout: Duration = timedelta(seconds=75)
    open_metrics: bool = False
    metrics_port: int | None = Field(default=None, ge=1, le=MOST_PORT)

    @field_validator("metrics_port")
    @classmethod
    def _is_another(cls, metrics_port: int | None, info: ValidationInfo) -> int | None:
        if metrics_port is not None and metrics_port == info.data.get("port"):
            raise ValueError("it is the port for everybody: write another one")
        return metrics_port

    def metrics_ports(self, workers: int) -> range:
        """The ports at which so many workers can be asked for their metrics; raises `SettingsError` when they are not to be had."""
        if self.metrics_port is None:
            return range(0)
        ports = range(self.metrics_port, self.metrics_port + workers)
        if ports[-1] > MOST_PORT or self.port in ports:
            why = "the server's own port is among them" if self.port in ports else f"the last port there is is {MOST_PORT}"
            raise SettingsError(
                f"[server] metrics_port: {workers} workers take the ports {ports[0]} to {ports[-1]}, but {why}. Choose another one."
            )
        return ports


class LimitSettings(_Table):
    """`live_sessions`: how many may be in memory before no more are let in, each for some kilobytes.

    `per_caller`: how many inputs of one caller are taken in which time; by default any number.
    """

    live_sessions: int = Field(default=100_000, ge=1)
    per_caller: PerTime | None = None


class LogSettings(_Table):
    """`turns`: whether there is a line for each input."""

    turns: bool = False


class StoreSettings(_Table):
    """Where histories are kept.

    `url`: None for the embedded Valkey; it may hold a password and is not shown. `fsync` is for the embedded one. `ttl`: how long a
    history is kept after the last thing it promised. `replicas`: how many must have an input before it is acknowledged, and
    `replicas_timeout` how long they may take: less than the 2 s after which an unanswered call is given up, with its connection.
    """

    url: StoreUrl | None = Field(default=None, repr=False)
    fsync: Literal["everysec", "always"] = "everysec"
    ttl: Duration = timedelta(days=30)
    replicas: int = Field(default=0, ge=0, le=16, validate_default=True)
    replicas_timeout: Duration = timedelta(seconds=1)

    @field_validator("replicas")
    @classmethod
    def _has_any(cls, replicas: int, info: ValidationInfo) -> int:
        if replicas and "url" in info.data and info.data["url"] is None:
            raise ValueError("the embedded Valkey has none: name a store that has, in [store] url or REDIS_URL, or take this out")
        return replicas

    @field_validator("replicas_timeout")
    @classmethod
    def _ends_before_the_call(cls, timeout: timedelta) -> timedelta:
        if not timedelta(milliseconds=1) <= timeout <= timedelta(seconds=1.5):
            raise ValueError("write at least 0.001 and at most 1.5 seconds: after 2 a call is given up")
        return timeout

    @field_validator("ttl")
    @classmethod
    def _outlives_a_call(cls, ttl: timedelta) -> timedelta:
        if ttl < timedelta(hours=1):
            raise ValueError("a history must outlive any call: write at least 1h")
        return ttl


class WebSettings(_Table):
    """`allowed_origins`: the sites whose pages may talk to this server from a browser; its own may always."""

    allowed_origins: list[Origin] = []


class SessionSettings(_Table):
    """`idle`: how long nothing happens in a session before it leaves memory."""

    idle: Duration = timedelta(seconds=30)


class Settings(_Table):
    """All settings, checked. `data` is the data directory; vendors' credentials come from the environment alone."""

    lines: dict[LineAddress, Annotated[Line, BeforeValidator(_line)]] = Field(
        default={"alexa:*": "bedtime", "phone:*": "santa", "slack:*": "assistant", "web:*": "assistant"}, validate_default=True
    )
    server: ServerSettings = ServerSettings()
    limits: LimitSettings = LimitSettings()
    logs: LogSettings = LogSettings()
    store: StoreSettings = StoreSettings()
    sessions: SessionSettings = SessionSettings()
    web: WebSettings = WebSettings()
    data: Path = Field(default=Path(".switchboard"), strict=False)

    account_sid: Text | None = None
    auth_token: SecretStr | None = None
    slack_signing_secret: SecretStr | None = None
    slack_bot_token: SecretStr | None = None
    slack_app_token: SecretStr | None = None
    slack_api_url: ApiUrl | None = Field(default=None, repr=False)
    alexa_skill_id: Text | None = None
    openai_api_key: SecretStr | None = None
    openai_base_url: ApiUrl | None = Field(default=None, repr=False)
    openai_model: Text | None = None
    duffel_access_token: SecretStr | None = None
    metrics_token: SecretStr | None = None
    phone_page_token: SecretStr | None = None
    duffel_api_url: ApiUrl | None = Field(default=None, repr=False)

    @field_validator("phone_page_token")
    @classmethod
    def _is_hard_to_guess(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and len(token.get_secret_value()) < 16:  # noqa: PLR2004 - of any kind; nobody can try that many
            raise ValueError("write at least 16 characters: they are all that keeps strangers out")
        return token

    @property
    def twilio_account_sid(self) -> str:
        """The account whose calls are taken; without credentials, that of the simulated phone."""
        return self.account_sid or self._development.twilio_account_sid

    @property
    def twilio_auth_token(self) -> SecretStr:
        """What requests of the phone are signed with; without credentials, a secret of the data directory. May raise `SettingsError`."""
        return self.auth_token or SecretStr(self._development.twilio_auth_token)

    @property
    def slack_secret(self) -> SecretStr:
        """What Slack signs its requests with; without credentials, a secret of the data directory. May raise `SettingsError`."""
        return self.slack_signing_secret or SecretStr(self._development.slack_signing_secret)

    @property
    def slack_token(self) -> SecretStr:
        """What opens Slack's Web API; without credentials, that of the simulated Slack. May raise `SettingsError`."""
        return self.slack_bot_token or SecretStr(self._development.slack_bot_token)

    @property
    def slack_url(self) -> str:
        """Where Slack's Web API is; without credentials, where `switchboard slack` serves the simulated one unless it is told otherwise."""
        return self.slack_api_url or (SIMULATED_SLACK if self.slack_bot_token is None else SLACK)

    @cached_property
    def _development(self) -> Development:
        """Made when first asked for, so that a command which only reads leaves nothing behind."""
        return development(self.data)


_TABLES: Final[dict[str, type[_Table]]] = {
    "server": ServerSettings,
    "limits": LimitSettings,
    "logs": LogSettings,
    "store": StoreSettings,
    "sessions": SessionSettings,
    "web": WebSettings,
}


def load(
    config: Path | None = None,
    *,
    host: str | None = None,
    port: int | None = None,
    data: Path | None = None,
) -> Settings:
    """Read and check all settings; what is given here wins over the environment, and that over the file.

    `config` is the file to read; by default `switchboard.toml` in the working directory, if it is there. Raises `SettingsError`, which
    names everything that is wrong.
    """
    file = _read(config)
    problems = [
        f"{name}: it comes from the environment alone. Set {variable} there, and take it out of the file"
        for variable, (field, *below) in ENVIRONMENT.items()
        for name in (field, variable.lower(), variable)
        if not below and file.pop(name, None) is not None
    ]
    variables = {variable: value for variable in ENVIRONMENT if (value := os.environ.get(variable))}
    twilio = [each for each in ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN") if each in variables]
    if len(twilio) == 1:
        problems.append(f"{twilio[0]} stands alone: set both the SID and the token in the environment, or none to use the simulated phone")
    given = {"server": {"host": host, "port": port}, "data": data}
    values = _merged(file, *[_nested(ENVIRONMENT[variable], value) for variable, value in variables.items()], given)
    if "SLACK_BOT_TOKEN" not in variables:
        alone = [each for each in ("SLACK_SIGNING_SECRET", "SLACK_APP_TOKEN") if each in variables]
        problems += [
            f"{each} is of no use without SLACK_BOT_TOKEN: set both in the environment, or none to use the simulated Slack"
            for each in alone
        ]
    elif "SLACK_SIGNING_SECRET" not in variables and "SLACK_APP_TOKEN" not in variables:
        problems.append(
            "SLACK_BOT_TOKEN stands alone: set SLACK_SIGNING_SECRET for requests by HTTP, or SLACK_APP_TOKEN for Socket Mode, too"
        )
    try:
        settings = Settings.model_validate(values, context=Registry())
    except ValidationError as error:
        origins = {ENVIRONMENT[variable]: variable for variable in variables}
        problems += [_told(each, origins) for each in error.errors(include_url=False, include_input=False)]
    else:
        if not problems:
            return settings
    source = config or FILE if file else "The settings"
    if len(problems) == 1:
        raise SettingsError(f"{source}: {problems[0]}.")
    raise SettingsError("\n  ".join([f"{source}: {len(problems)} settings are wrong.", *problems]))


def load_server(config: Path | None = None, *, host: str | None = None, port: int | None = None) -> ServerSettings:
    """Read and check nothing but where the server listens, as `load` would: the lines' workflows need not be fit to be imported yet."""
    table = _merged(_read(config), {"server": {"host": host, "port": port}}).get("server", {})
    try:
        return ServerSettings.model_validate(table)
    except ValidationError as error:
        problems = [_told({**each, "loc": ("server", *each["loc"])}, {}) for each in error.errors(include_url=False, include_input=False)]
        raise SettingsError(f"{config or FILE}: {'; '.join(problems)}.") from None


def _registry(info: ValidationInfo) -> Registry:
    return info.context if isinstance(info.context, Registry) else Registry()


def _read(config: Path | None) -> dict[str, Any]:
    path = config or FILE
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if config is None:
            return {}
        raise SettingsError(f"There is no file {config}: correct --config.") from None
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError as error:  # no TOML, or no UTF-8
        raise SettingsError(f"{path} is no TOML: {error}.") from None


def _nested(path: tuple[str, ...], value: object) -> dict[str, Any]:
    for name in reversed(path):
        value = {name: value}
    assert isinstance(value, dict)
    return value


def _merged(below: dict[str, Any], *above: dict[str, Any]) -> dict[str, Any]:
    """Lay settings over others; None overrules nothing, and what is no table where one belongs is left to be refused."""
    merged = dict(below)
    for each in above:
        for name, value in each.items():
            if isinstance(value, dict):
                under = merged.get(name, {})
                if isinstance(under, dict):
                    merged[name] = _merged(under, value)
            elif value is not None:
                merged[name] = value
    return merged


def _told(problem: ErrorDetails, origins: Mapping[tuple[str, ...], str]) -> str:
    """One problem in words, after the path of its setting: `[lines] "phone:*": args.queues: …`."""
    path = [str(part) for part in problem["loc"] if part != "[key]"]
    match problem["type"]:
        case "extra_forbidden":
            words = f"there is no such setting{meant(path[-1], _names(path[:-1]))}"
        case "missing":
            words = "it is missing"
        case "model_type" | "dict_type":
            words = "write a table"
        case "path_type":
            words = "write a path"
        case _:
            words = problem["msg"].removeprefix("Value error, ").replace("Input should", "it should").rstrip(".")
    match path:
        case []:
            return words
        case ["lines", address, *below]:
            name = ": ".join([f'[lines] "{address}"', *below]) + problem.get("ctx", {}).get("inside", "")
        case [table, *below] if below:
            name = f"[{table}] {'.'.join(below)}"
        case _:
            name = path[0]
    variable = origins.get(tuple(path))
    return f"{name}{f' (from {variable})' if variable else ''}: {words}"


def _names(path: list[str]) -> Iterable[str]:
    """The settings that there are in a table."""
    match path:
        case []:
            return ["lines", "data", *_TABLES]
        case ["lines", _]:
            return Line.model_fields
        case [table] if table in _TABLES:
            return _TABLES[table].model_fields
        case _:
            return []
