# The lab with all that its configs need but Spark, which needs Java; every command of it:
#   docker build -t recsys-lab .
#   docker run --rm --gpus all -v "$PWD:/work" recsys-lab train data=table data.path=log.csv
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
