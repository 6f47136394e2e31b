# syntax=docker/dockerfile:1
# Footnote's image. `docker build .` makes the one for CPUs; docker-compose.yml says what the one for GPUs takes.
ARG PYTHON=3.11.14-slim-bookworm

FROM python:${PYTHON} AS build
WORKDIR /src
COPY deploy/install.sh deploy/requirements.py deploy/
COPY pyproject.toml ./
# multilingual,langchain,gpu,… (see pyproject.toml); without an index of its own, PyTorch comes with CUDA and 4 GB.
ARG EXTRAS=multilingual
ARG PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
RUN PIP_EXTRA_INDEX_URL=${PIP_EXTRA_INDEX_URL} deploy/install.sh dependencies /opt/footnote "${EXTRAS}"
COPY README.md LICENSE ./
COPY app app
COPY corpus corpus
COPY ingest ingest
COPY footnote footnote
RUN deploy/install.sh footnote /opt/footnote

FROM python:${PYTHON}
# llama.cpp computes with OpenMP.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends libgomp1=12.2.0-14+deb12u1 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin footnote \
 && install --directory --owner=footnote --group=footnote --mode=700 /data /data/models
COPY --from=build /opt/footnote /opt/footnote
ENV PATH=/opt/footnote/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    FOOTNOTE_DATA_DIR=/data \
    HF_HUB_OFFLINE=1
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=180s --retries=4 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
ENTRYPOINT ["footnote"]
CMD ["serve", "--host", "0.0.0.0"]
