# One sweep on several boxes: every allocation gives the same command and so joins the same study.
#   nomad var put nomad/jobs/recsys-lab-sweep storage=postgresql://USER:PASSWORD@db/optuna
#   nomad job run -var image="$(bash scripts/image.sh)" -var boxes=4 -var gpus=8 scripts/sweep.nomad.hcl
# The volume "shop" holds the data and takes the sweep's files; all boxes must see the same one. The
# study is in a database, as a journal file needs a file system with locks; its address is a Nomad
# variable, which job and logs do not show.

variable "boxes" {
  type    = number
  default = 2
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

variable "gpus" {
  type        = number
  default     = 1
  description = "of each box: one worker runs on each; 0 for boxes without"
}

job "recsys-lab-sweep" {
  type = "batch"

  group "box" {
    count = var.boxes

    # A crash is repeated within the task (restart), which goes on where it stopped, but not a mistake
    # in the command: Nomad cannot tell them apart.
    restart {
      attempts = 0
      mode     = "fail"
    }

    reschedule {
      attempts  = 0
      unlimited = false
    }

    constraint {
      operator = "distinct_hosts"
      value    = "true"
    }

    volume "shop" {
      type   = "host"
      source = "shop"
    }

    task "sweep" {
      driver = "docker"
      user   = "${var.uid}:${var.gid}"

      # Long enough for every trial to store where it is; the client's max_kill_timeout (30 s by
      # default) must allow it.
      kill_signal  = "SIGINT"
      kill_timeout = "120s"

      config {
        image      = var.image
        init       = true
        work_dir   = "/work"
        entrypoint = ["restart", "recsys-lab"]
        args = [
          "sweep",
          "search=sasrec",
          "data=table",
          "data.path=log.csv",
          "sweep.name=nomad",
          "sweep.n_trials=200",
          "sweep.storage=env:SWEEP_STORAGE",
        ]
      }

      template {
        data        = "SWEEP_STORAGE='{{ with nomadVar \"nomad/jobs/recsys-lab-sweep\" }}{{ .storage }}{{ end }}'"
        destination = "secrets/storage.env"
        env         = true
        change_mode = "noop"
      }

      volume_mount {
        volume      = "shop"
        destination = "/work"
      }

      resources {
        cpu    = 8000
        memory = 32000

        dynamic "device" {
          for_each = var.gpus > 0 ? ["nvidia/gpu"] : []
          labels   = [device.value]

          content {
            count = var.gpus
          }
        }
      }
    }
  }
}
