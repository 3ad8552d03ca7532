# SPDX-License-Identifier: Apache-2.0
resource "google_compute_instance" "gcp" {
  machine_type = "n2d-standard-2"
  confidential_instance_config {
    enable_confidential_compute = true
    confidential_instance_type  = "SEV_SNP"
  }
  boot_disk {
    initialize_params {
      image  = var.image
      labels = { a = "b", c = 1 }
    }
  }
  metadata_startup_script = <<-END
    echo "}"
  END
  shielded_instance_config { enable_secure_boot = true }
}

resource "aws_instance" "aws" {
  ami = data.aws_ami.u.id
  cpu_options { amd_sev_snp = "enabled" }
}

resource "azurerm_linux_virtual_machine" "azure" {
  size = "Standard_DC2as_v5"
  vtpm_enabled = true
  os_disk {
    security_encryption_type = "VMGuestStateOnly"
  }
}

resource "aws_s3_bucket" "other" {
  bucket = "b"
}
