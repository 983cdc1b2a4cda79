# Servers that follow one registry's champion, behind the cluster's load balancer.
#   nomad job run -var image="$(bash scripts/image.sh serve)" -var servers=2 scripts/serve.nomad.hcl
# The volume "shop" holds registry, runs and prepared data; all boxes must see the same one. The
# bearer token is in the Nomad variable nomad/jobs/recsys-lab-serve, key "token":
#   nomad var put nomad/jobs/recsys-lab-serve token="$(openssl rand -hex 32)"

variable "servers" {
  type    = number
  default = 2
}

variable "image" {
  type        = string
  description = "recsys-lab-serve:COMMIT, as scripts/image.sh serve prints it; not latest, which Nomad always pulls"
}

variable "uid" {
  type        = number
  default     = 1000
  description = "of the user who may read the volume and the token"
}

variable "gid" {
  type    = number
  default = 1000
}

variable "registry" {
  type        = string
  default     = "registry"
  description = "folder on the volume; or a run, or an export"
}

job "recsys-lab-serve" {
  type = "service"

  # One server after the other, so that some answer at any time.
  update {
    max_parallel     = 1
    health_check     = "checks"
    min_healthy_time = "5s"
    healthy_deadline = "5m"
    auto_revert      = true
  }

  group "server" {
    count = var.servers

    network {
      port "http" {}
    }

    volume "shop" {
      type      = "host"
      source    = "shop"
      read_only = true
    }

    service {
      name     = "recsys-lab"
      port     = "http"
      provider = "nomad"

      check {
        type     = "http"
        path     = "/ready"
        interval = "5s"
        timeout  = "2s"
      }
    }

    task "serve" {
      driver = "docker"
      user   = "${var.uid}:${var.gid}"

      # Requests in flight are finished: as long as shutdown_s, and a little more.
      kill_signal  = "SIGTERM"
      kill_timeout = "25s"

      config {
        image        = var.image
        init         = true
        work_dir     = "/work"
        network_mode = "host"
        args = [
          "${var.registry}",
          "host=0.0.0.0",
          "port=${NOMAD_PORT_http}",
          "token_file=/secrets/token",
          "shutdown_s=20",
        ]
      }

      template {
        data        = "{{ with nomadVar \"nomad/jobs/recsys-lab-serve\" }}{{ .token }}{{ end }}"
        destination = "secrets/token"
        perms       = "0400"
        uid         = var.uid
        gid         = var.gid
      }

      volume_mount {
        volume      = "shop"
        destination = "/work"
        read_only   = true
      }

      # Twice the model: a new champion is loaded beside the old one.
      resources {
        cpu    = 2000
        memory = 4000
      }
    }
  }
}
