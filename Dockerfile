# Switchboard in a container: `docker build -t switchboard .`, and compose.yaml runs two of them.
# The first stage holds pip and its caches; what runs is Python, the locked dependencies and our four packages.

FROM python:3.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/switchboard
WORKDIR /src
COPY requirements-serve.lock ./
RUN /opt/switchboard/bin/pip install --require-hashes -r requirements-serve.lock
COPY pyproject.toml README.md ./
COPY workflows workflows
COPY handlers handlers
COPY switchboard switchboard
COPY telephony telephony
RUN /opt/switchboard/bin/pip install --no-deps . \
    && /opt/switchboard/bin/pip uninstall --yes pip setuptools \
    && /opt/switchboard/bin/python -m compileall -q /opt/switchboard/lib

FROM python:3.11-slim-bookworm
RUN useradd --uid 10001 --create-home --home-dir /app switchboard && mkdir /app/.switchboard && chown switchboard /app/.switchboard
COPY --from=build /opt/switchboard /opt/switchboard
ENV PATH=/opt/switchboard/bin:$PATH PYTHONUNBUFFERED=1
# Your switchboard.toml and your workflows go here; `.switchboard` holds the embedded Valkey, where there is no REDIS_URL.
WORKDIR /app
USER 10001
EXPOSE 8080
# A server that is told to stop has ten seconds to finish what it is doing; give it a few more before it is killed.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import urllib.request as web; web.urlopen('http://127.0.0.1:8080/healthz', timeout=2)"]
ENTRYPOINT ["switchboard"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8080"]
