"""The service that stands in for a language model inside `switchboard serve` when no key is set."""

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from switchboard.settings import Settings

logger = logging.getLogger(__name__)

PACE_SECONDS = 0.03
"""Between two words, so that it can be seen that they come one by one."""


@asynccontextmanager
async def offline_model(settings: Settings) -> AsyncGenerator[Settings]:
    """Serve the offline demo model on a free port of this machine, unless the settings name a model."""
    if settings.openai_api_key is not None or settings.openai_base_url is not None:
        yield settings
        return
    from telephony.simulators.model.endpoint import ModelEndpoint, serving  # noqa: PLC0415 - not needed where there is a real one

    async with serving(ModelEndpoint(pace=PACE_SECONDS)) as url:
        logger.info("OPENAI_API_KEY is not set: conversations that ask a language model get the offline demo model")
        yield settings.model_copy(update={"openai_base_url": url})
