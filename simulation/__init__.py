"""A simulation of the control plane: the product's own code in a world of made-up time, faults and clouds.

Genuine are the product (operations, worker, commands), its schema and PostgreSQL. Made up are the clock, the
order of threads, hosts, the queue, the cloud with its Terraform, Helm and cluster. ADR 20 says why.
"""
