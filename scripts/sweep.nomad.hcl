# One sweep on several boxes: every allocation gives the same command and so joins the same study.
#   nomad job run -var boxes=4 -var storage=postgresql://USER:PASSWORD@db/optuna scripts/sweep.nomad.hcl
# The volume "shop" holds the data and takes the sweep's files; all boxes must see the same one.

variable "boxes" {
  type    = number
  default = 2
}

variable "image" {
  type    = string
  default = "recsys-lab:latest"
}

variable "storage" {
  type        = string
  description = "of the study; a database, as a journal file needs a file system with locks"
}

job "recsys-lab-sweep" {
  type = "batch"

  group "box" {
    count = var.boxes

    # The same command again goes on where it stopped.
    restart {
      attempts = 10
      interval = "24h"
      delay    = "15s"
      mode     = "delay"
    }

    volume "shop" {
      type   = "host"
      source = "shop"
    }

    task "sweep" {
      driver = "docker"

      # Long enough for a trial to store where it is; the client's max_kill_timeout must allow it.
      kill_signal  = "SIGINT"
      kill_timeout = "60s"

      config {
        image    = var.image
        work_dir = "/work"
        args = [
          "sweep",
          "search=sasrec",
          "data=table",
          "data.path=log.csv",
          "sweep.name=nomad",
          "sweep.n_trials=200",
          "sweep.storage=${var.storage}",
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
