provisioner_role_arn = "arn:aws:iam::123456789012:role/Beta9Provisioner"
api_from             = ["203.0.113.0/24"]
