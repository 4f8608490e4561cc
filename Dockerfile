# The server in a container; docs/serve-operation.md says how to run it.
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN python3 -m venv /opt/quartet && \
    /opt/quartet/bin/pip install --no-cache-dir '.[serve,speech]' && \
    QUARTET_HOME=/tmp/home /opt/quartet/bin/quartet convert demo /opt/quartet/demo

FROM ${BASE}
COPY --from=build /opt/quartet /opt/quartet
RUN install -d -o 10001 -g 10001 /models
ENV PATH=/opt/quartet/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOME=/models \
    QUARTET_HOME=/models \
    HF_HOME=/models/hub \
    QUARTET_SERVE_MODEL=/opt/quartet/demo \
    QUARTET_SERVE_HOST=0.0.0.0 \
    QUARTET_SERVE_PORT=5000
USER 10001:10001
WORKDIR /models
VOLUME ["/models", "/tmp"]
EXPOSE 5000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python3", "-c", "import http.client, os; asked = http.client.HTTPConnection('127.0.0.1', int(os.environ['QUARTET_SERVE_PORT']), timeout=4); asked.request('GET', '/health'); raise SystemExit(asked.getresponse().status != 200)"]
ENTRYPOINT ["quartet", "serve"]
