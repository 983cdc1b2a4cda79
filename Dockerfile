# The lab with all that its configs need but Spark, which needs Java; every command of it:
#   docker build -t recsys-lab .
#   docker run --rm --gpus all -v "$PWD:/work" recsys-lab train data=table data.path=log.csv
# And a server alone, on the CPU:
#   docker build --target serve -t recsys-lab-serve .
#   docker run --rm -p 8000:8000 -v "$PWD:/work:ro" recsys-lab-serve registry host=0.0.0.0
FROM python:3.12-slim AS serve

WORKDIR /opt/recsys-lab
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY configs configs
COPY src src
RUN pip install --no-cache-dir --constraint constraints.txt \
      --extra-index-url https://download.pytorch.org/whl/cpu ".[baselines,export,serve]" \
    && useradd --create-home lab

USER lab
WORKDIR /work
# docker stop: finish the requests in flight
STOPSIGNAL SIGTERM
ENTRYPOINT ["recsys-lab", "serve"]

FROM python:3.12-slim

WORKDIR /opt/recsys-lab
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY configs configs
COPY src src
RUN pip install --no-cache-dir --constraint constraints.txt \
      ".[baselines,explain,gpu,mlflow,peft,ray,slurm,sql,sweep,tensorboard,text]" \
    && useradd --create-home lab

USER lab
WORKDIR /work
# docker stop: store where it is, to go on when the same command is given again
STOPSIGNAL SIGINT
ENTRYPOINT ["recsys-lab"]
