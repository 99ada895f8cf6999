"""The simulated AWS cloud: one store with two doors.

Terraform comes in through ``provider`` (plugin protocol 6), boto3 and Terraform's S3 backend through ``api``
(HTTP). Both show the same objects, which ``store`` keeps in one SQLite file that many processes share.
"""
