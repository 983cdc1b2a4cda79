# The lab with all that its configs need but Spark, which needs Java; every command of it:
#   bash scripts/image.sh            # prints recsys-lab:COMMIT
#   docker run --rm --init --gpus all --stop-timeout 120 --user "$(id -u):$(id -g)" \
#     -v "$PWD:/work" recsys-lab:COMMIT train data=table data.path=log.csv
# And a server alone, on the CPU:
#   bash scripts/image.sh serve      # prints recsys-lab-serve:COMMIT
#   docker run --rm --init --stop-timeout 25 -p 8000:8000 -v "$PWD:/work:ro" \
#     recsys-lab-serve:COMMIT registry host=0.0.0.0
FROM python:3.12-slim AS base

# Any user may be given (--user), also one that the image does not know: a home that all can write
# to, and a name that does not depend on /etc/passwd.
ENV HOME=/home/lab USER=lab
RUN useradd --uid 1000 --create-home lab && chmod 1777 "$HOME" && install -d -m 1777 /work
WORKDIR /opt/recsys-lab
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY configs configs
COPY src src

FROM base AS serve

RUN pip install --no-cache-dir --constraint constraints.txt \
      --extra-index-url https://download.pytorch.org/whl/cpu ".[baselines,export,serve]"
# The code's commit, for the records of runs; last, as it differs in every build.
ARG COMMIT=""
ENV RECSYS_LAB_COMMIT=$COMMIT
LABEL org.opencontainers.image.revision=$COMMIT
USER 1000:1000
WORKDIR /work
# docker stop: finish the requests in flight
STOPSIGNAL SIGTERM
ENTRYPOINT ["recsys-lab", "serve"]

FROM base

# A compiler: Triton and torch.compile build their launchers and kernels when they run. The versions
# are those of the base image's Debian.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --no-install-recommends --yes g++ \
    && rm -rf /var/lib/apt/lists/*
RUN pip install --no-cache-dir --constraint constraints.txt \
      ".[baselines,explain,gpu,mlflow,peft,ray,slurm,sql,sweep,tensorboard,text]"
COPY --chmod=755 scripts/restart.sh /usr/local/bin/restart
# What the NVIDIA runtime mounts where it is not told by --gpus.
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility
ARG COMMIT=""
ENV RECSYS_LAB_COMMIT=$COMMIT
LABEL org.opencontainers.image.revision=$COMMIT
USER 1000:1000
WORKDIR /work
# docker stop: store where it is, to go on when the same command is given again
STOPSIGNAL SIGINT
ENTRYPOINT ["recsys-lab"]
