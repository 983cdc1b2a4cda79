# Retrains a run on the current log, once a week; another run starts only after the last has ended.
#   nomad job run -var run=runs/champion -var log=log.csv scripts/retrain.nomad.hcl
#   nomad job periodic force recsys-lab-retrain
# The volume "shop" holds the run and the log and takes the new runs. The task's last line is a JSON
# object with the status; its exit code is 0 for "trained" and "nothing_new".

variable "run" {
  type        = string
  description = "the run whose config is trained again, e.g. a link to the champion"
}

variable "log" {
  type        = string
  description = "the newer log"
}

variable "image" {
  type    = string
  default = "recsys-lab:latest"
}

variable "cron" {
  type    = string
  default = "0 3 * * 1" # Mondays at 3:00
}

job "recsys-lab-retrain" {
  type = "batch"

  periodic {
    crons            = [var.cron]
    prohibit_overlap = true
    time_zone        = "UTC"
  }

  group "box" {
    # After a crash the same command resumes the run (resume=auto), unless the log is newer by then.
    restart {
      attempts = 3
      interval = "24h"
      delay    = "60s"
      mode     = "fail"
    }

    reschedule {
      attempts  = 0
      unlimited = false
    }

    volume "shop" {
      type   = "host"
      source = "shop"
    }

    task "retrain" {
      driver = "docker"

      # Long enough to store a checkpoint; the client's max_kill_timeout must allow it.
      kill_signal  = "SIGINT"
      kill_timeout = "60s"

      config {
        image    = var.image
        work_dir = "/work"
        args = [
          "retrain",
          "${var.run}",
          "data.path=${var.log}",
          "warm=true",
          "window=90d",
          "resume=auto",
        ]
      }

      volume_mount {
        volume      = "shop"
        destination = "/work"
      }

      resources {
        cpu    = 8000
        memory = 32000

        device "nvidia/gpu" {
          count = 1
        }
      }
    }
  }
}
