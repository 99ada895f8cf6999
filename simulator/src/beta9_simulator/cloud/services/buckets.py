"""Keeps S3's two halves in step: buckets are objects of the store, their contents live in moto's memory.

Before each S3 request moto gets and loses buckets as the store says; after it the store learns what the
request made, deleted, and how much a bucket holds, so that Terraform's door can refuse to delete a
bucket in use.
"""

import re
import threading

from moto.s3.models import S3Backend, s3_backends

from beta9_simulator.cloud.catalog import catalog
from beta9_simulator.cloud.principals import Principal
from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.store import NewObject, Store, StoredObject

_TYPE = "aws_s3_bucket"
_PARTITION = "aws"


class Buckets:
    """The buckets of all accounts; one instance serves the door, since moto's memory is one per process."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        with store.transaction():
            store.execute("delete from bucket_contents")

    def take_over(self) -> None:
        """Make moto's buckets those of the store."""
        with self._lock:
            stored = {bucket.id: bucket for bucket in self._store.find(_TYPE) if bucket.status != "deleting"}
            for name, (_, account) in list(s3_backends.bucket_accounts.items()):
                if name not in stored or stored[name].account != account:
                    _drop(account, name)
            for name, bucket in stored.items():
                if name not in s3_backends.bucket_accounts:
                    _backend(bucket.account).create_bucket(name, bucket.region)

    def check_owner(self, name: str, principal: Principal, expected_owner: str) -> None:
        """Raise ``CloudError`` when a bucket is not the caller's, or not the expected owner's."""
        owner = next((bucket.account for bucket in self._store.find(_TYPE, id=name)), None)
        if owner is None:
            return
        if owner != principal.account or (expected_owner and expected_owner != owner):
            raise CloudError("AccessDenied", f"{principal.arn} has no access to the bucket {name}")

    def give_back(self, name: str, principal: Principal) -> None:
        """Tell the store what a request did to one bucket."""
        with self._lock:
            known = next(iter(self._store.find(_TYPE, id=name)), None)
            owner = s3_backends.bucket_accounts.get(name)
            if owner is None:
                if known is not None and known.status != "deleting":
                    self._forget(known)
                return
            bucket = _backend(owner[1]).buckets[name]
            if known is None:
                arn = f"arn:aws:s3:::{name}"
                state = {"id": name, "bucket": name, "arn": arn, "region": bucket.region_name, "tags": {}}
                region = str(bucket.region_name)
                new = NewObject(owner[1], region, _TYPE, name, name, state, principal.identity, "api")
                self._store.create(new)
            held = sum(len(bucket.keys.getlist(key)) for key in bucket.keys)
            self._store.execute("insert or replace into bucket_contents values(?,?)", name, held)

    def _forget(self, bucket: StoredObject) -> None:
        self._store.delete(bucket)
        self._store.execute("delete from bucket_contents where bucket=?", bucket.id)


def check_name(name: str) -> None:
    """Raise ``CloudError`` when S3 has reserved a bucket's name, or does not take its form."""
    if re.search(catalog()[_TYPE].valid["bucket"], name) is None:
        raise CloudError("InvalidBucketName", "The specified bucket is not valid.")


def _backend(account: str) -> S3Backend:
    return s3_backends[account][_PARTITION]


def _drop(account: str, name: str) -> None:
    _backend(account).buckets.pop(name, None)
    s3_backends.bucket_accounts.pop(name, None)
