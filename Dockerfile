# One image for all roles: `docker run IMAGE worker`, `relay`, `migrate up`, ... It runs as a user without a name, writes to
# /run/orderwright (the heartbeat) and /var/lib/orderwright (the simulator's books) only, and holds no compiler and no build backend.
# Any builder can build it: nothing here needs BuildKit.
#
#   docker build -t orderwright .
#   pip download -r requirements/image.lock --only-binary :all: -d build/wheels     # beforehand, to build without a network
#   docker build -t orderwright --build-arg PIP_NO_INDEX=1 .
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS build
ARG PIP_INDEX_URL
ARG PIP_NO_INDEX
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1 PIP_FIND_LINKS=/build/wheels
WORKDIR /build
# The package index changes less often than the code does. The pattern lets the folder be missing.
COPY requirements/image.lock build/wheels/*.whl /build/wheels/
RUN python3 -m venv /opt/orderwright \
    && /opt/orderwright/bin/pip install --quiet --require-hashes --only-binary :all: -r /build/wheels/image.lock
COPY pyproject.toml README.md LICENSE CHANGELOG.md /build/
COPY domain /build/domain
COPY infrastructure /build/infrastructure
COPY migrations /build/migrations
COPY workers /build/workers
# What built the wheel goes again, and with it everything that only the build needs.
RUN /opt/orderwright/bin/pip install --quiet --no-deps --no-build-isolation --no-index /build \
    && /opt/orderwright/bin/pip uninstall --quiet --yes hatchling pathspec pluggy trove-classifiers \
    && /opt/orderwright/bin/pip check \
    && /opt/orderwright/bin/python -m compileall -q /opt/orderwright/lib \
    && /opt/orderwright/bin/pip uninstall --quiet --yes setuptools pip

FROM ${PYTHON_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="Orderwright" \
      org.opencontainers.image.description="Takes orders from acceptance to delivery" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
COPY --from=build /opt/orderwright /opt/orderwright
RUN mkdir -p /run/orderwright /var/lib/orderwright && chown 10001:10001 /run/orderwright /var/lib/orderwright
ENV PATH=/opt/orderwright/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ORDERWRIGHT_LOG_FORMAT=json \
    ORDERWRIGHT_DATA_DIR=/var/lib/orderwright \
    ORDERWRIGHT_RUNTIME_DIR=/run/orderwright
WORKDIR /var/lib/orderwright
USER 10001:10001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s --retries=3 CMD ["orderwright", "health", "live"]
ENTRYPOINT ["orderwright"]
CMD ["--help"]
