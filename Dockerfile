# syntax=docker/dockerfile:1
# Two images from one file, both without root:
#   docker build --target cpu  -t mlip-ood:cpu .
#   docker build --target cuda -t mlip-ood:cuda .
#   docker run --rm -v "$PWD/results:/work/results" mlip-ood:cpu --model gfn1-xtb --task task2
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS base
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONUNBUFFERED=1 \
    OMP_NUM_THREADS=1 \
    HF_HOME=/work/.huggingface
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 libxrender1 libxext6 libexpat1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 mlip \
    && install --directory --owner=mlip /work
WORKDIR /src
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY dataset_builders dataset_builders
COPY harness harness
COPY model_cards model_cards

FROM base AS cpu
RUN pip install torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu \
    && pip install --constraint constraints.txt ".[mace,graph-pes,torchani]"
USER 1000:1000
WORKDIR /work
ENTRYPOINT ["mlip-ood"]
CMD ["--help"]

FROM base AS cuda
RUN pip install torch==2.13.0 \
    && pip install --constraint constraints.txt ".[mace,graph-pes,torchani]"
USER 1000:1000
WORKDIR /work
ENTRYPOINT ["mlip-ood"]
CMD ["--help"]
