# The lab with everything that its configs name; every command of it:
#   docker build -t recsys-lab .
#   docker run --rm --gpus all -v "$PWD:/work" recsys-lab train data=table data.path=log.csv
FROM python:3.12-slim

WORKDIR /opt/recsys-lab
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY configs configs
COPY src src
RUN pip install --no-cache-dir --constraint constraints.txt \
      ".[baselines,gpu,mlflow,peft,ray,slurm,sql,sweep,tensorboard,text]" \
    && useradd --create-home lab

USER lab
WORKDIR /work
ENTRYPOINT ["recsys-lab"]
