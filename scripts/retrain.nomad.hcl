# Retrains a run on the current log, once a week; another run starts only after the last has ended.
#   nomad job run -var image="$(bash scripts/image.sh)" -var run=runs/champion -var log=log.csv \
#     scripts/retrain.nomad.hcl
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
  type        = string
  description = "recsys-lab:COMMIT, as scripts/image.sh prints it; not latest, which Nomad always pulls"
}

variable "uid" {
  type        = number
  default     = 1000
  description = "of the user who owns the volume's files"
}

variable "gid" {
  type    = number
  default = 1000
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
    # A crash is repeated within the task (restart), which resumes the run (resume=auto) unless the log
    # is newer by then, but not a mistake in the command: Nomad cannot tell them apart.
    restart {
      attempts = 0
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
      user   = "${var.uid}:${var.gid}"

      # Long enough to store a checkpoint; the client's max_kill_timeout (30 s by default) must allow
      # it.
      kill_signal  = "SIGINT"
      kill_timeout = "120s"

      env {
        RESTARTS = "3"
      }

      config {
        image      = var.image
        init       = true
        work_dir   = "/work"
        entrypoint = ["restart", "recsys-lab"]
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
