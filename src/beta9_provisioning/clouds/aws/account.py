"""What the worker asks of a customer's AWS account, beside Terraform: one object per environment."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from beta9_provisioning.clouds.aws import (
    access_check,
    adoption_table,
    buckets,
    cluster_access,
    customer_key,
    given_cluster,
    given_network,
    inventory,
    machine_images,
    protection,
    store_secrets,
    sweep,
    zones,
)
from beta9_provisioning.clouds.aws.access_questions import Place
from beta9_provisioning.clouds.aws.beside_state import BesideState
from beta9_provisioning.clouds.aws.choices import Choices
from beta9_provisioning.clouds.aws.given_cluster import Reach
from beta9_provisioning.clouds.aws.names import REDIS_PASSWORD, names
from beta9_provisioning.clouds.aws.of_cluster import chosen_cluster
from beta9_provisioning.clouds.aws.orderable import choose_class
from beta9_provisioning.clouds.aws.refusals import AwsError
from beta9_provisioning.clouds.aws.session import AwsSession
from beta9_provisioning.clouds.aws.sizes import SIZES, node_types
from beta9_provisioning.clouds.aws.state_bucket import StateBucket, state_key
from beta9_provisioning.clouds.aws.state_lock import StateLockObject
from beta9_provisioning.clouds.aws.versions import DEFAULTS
from beta9_provisioning.clouds.cloud import Contents, Leftover, Phase, StateLock, UnsavedState
from beta9_provisioning.clouds.stands import Known, Standing
from beta9_provisioning.engine.kubernetes.access import ClusterAccess
from beta9_provisioning.engine.spec import tags
from beta9_provisioning.engine.synthesis.synthesize import Backend
from beta9_provisioning.schemas.configuration import EnvironmentConfig

if TYPE_CHECKING:
    from types_boto3_secretsmanager import SecretsManagerClient
    from types_boto3_sts import STSClient


@dataclass(frozen=True)
class AwsTarget:
    """Where an environment lives: account, region, and the role that the worker assumes there.

    `s3_path_style` addresses S3 buckets by path, as most S3-compatible stores demand. `role_path` and
    `boundary` are those of the roles that are made.
    """

    environment_id: str
    account_id: str
    region: str
    role_arn: str
    external_id: str | None
    s3_path_style: bool = False
    role_path: str = "/"
    boundary: str | None = None


class AwsAccount:
    """A customer's account, seen through the role that the worker assumes there.

    Nothing is asked before the first call. `stop` ends waiting. Every method raises AwsError when AWS
    refuses or fails; its code says which, such as `role_refused`, `credentials_missing`,
    `permission_missing`, `region_disabled`, `aws_unreachable`, `certificate_untrusted`, `clock_skewed`.
    """

    def __init__(self, target: AwsTarget, stop: threading.Event | None = None) -> None:
        self.target = target
        self._session = AwsSession(
            region=target.region,
            role_arn=target.role_arn,
            external_id=target.external_id,
            session_name=names(target.environment_id).session,
            s3_path_style=target.s3_path_style,
            stop=stop,
        )
        self._stop = stop or threading.Event()
        self._bucket = StateBucket(self._session, target.account_id, self._stop)
        self._lock = StateLockObject(
            self._session, target.account_id, self._bucket.name, state_key(target.environment_id)
        )
        self._beside = BesideState(self._session, target.account_id, self._bucket.name, target.environment_id)

    def check_access(self, phases: Collection[Phase], bucket_prefix: str | None) -> str | None:
        """Assume the role, and see that it belongs to the account and may do what these phases need.

        Return what could not be seen beforehand.

        Raises:
            AwsError: `role_refused` with the trust statement that is needed; `account_mismatch`;
                `permissions_missing`, which names all that the role lacks.
        """
        sts: STSClient = self._session.client("sts")
        with self._session.explained(f"assume the role {self.target.role_arn}"):
            account = sts.get_caller_identity()["Account"]
        if account != self.target.account_id:
            raise AwsError(
                f"The role {self.target.role_arn} belongs to account {account}.",
                detail=f"The configuration says account {self.target.account_id}.",
                remedy="Correct cloud.account_id or cloud.role_arn.",
                code="account_mismatch",
            )
        place = Place(
            environment_id=self.target.environment_id,
            account_id=self.target.account_id,
            region=self.target.region,
            role_path=self.target.role_path,
            bucket_prefix=bucket_prefix,
            boundary=self.target.boundary,
        )
        return access_check.check(self._session, place, phases)

    def choose(
        self,
        config: EnvironmentConfig,
        reach: Reach | None = None,
        workers_from: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Choose zones, versions and sizes for a new environment, by what the account offers.

        `reach` opens the API of a cluster of the user's, which workers from these networks must reach.

        Raises:
            AwsError: `cluster_unfit` when a cluster of the user's does not do;
                `zones_unavailable` when too few zones, or not those that its user wants, can be had;
                `class_unavailable` when no database of its size can; `network_unfit` when a network of the
                user's does not do; `image_unavailable`; `key_unusable`.
        """
        if config.cloud.kms_key_arn is not None:
            customer_key.check(self._session, config.cloud.kms_key_arn)
        if config.cluster.use_existing:
            return self._choose_in_cluster(config, reach, workers_from)
        network = None
        if config.network.vpc_id is not None:
            place = given_network.look(self._session, config)
            chosen, network, instance_class = place.zones, place.network, place.instance_class
        else:
            chosen = zones.choose(zones.available(self._session, node_types(config)), config.cloud.zones)
            postgres = config.data.postgres
            instance_class = choose_class(
                self._session,
                SIZES[postgres.size].postgres_classes,
                DEFAULTS.postgres,
                chosen,
                multi_az=postgres.multi_az,
            )
        release = machine_images.release(self._session, DEFAULTS.kubernetes)
        choices = Choices.first(
            config, chosen, network=network, instance_class=instance_class, release=release
        )
        return choices.model_dump(mode="json")

    def _choose_in_cluster(
        self, config: EnvironmentConfig, reach: Reach | None, workers_from: Sequence[str]
    ) -> dict[str, Any]:
        assert reach is not None, "who looks into a cluster must be able to"
        wanted = given_cluster.Wanted(
            config, self.target.environment_id, self.target.role_arn, tuple(workers_from)
        )
        place, cluster = given_cluster.look(self._session, wanted, reach)
        choices = Choices.first(
            config, place.zones, network=place.network, cluster=cluster, instance_class=place.instance_class
        )
        return choices.model_dump(mode="json")

    def keep_secrets(self, config: EnvironmentConfig, choices: Mapping[str, Any]) -> dict[str, str]:
        """Draw the stores' passwords unless they are kept already; return Terraform's variables."""
        if not Choices.model_validate(choices).redis.has_user:
            return {}
        password = store_secrets.redis_password(
            self._session,
            names(self.target.environment_id).redis,
            tags=tags(config, self.target.environment_id),
            key_arn=config.cloud.kms_key_arn,
        )
        return {REDIS_PASSWORD: password}

    def delete_secrets(self) -> None:
        """Delete what `keep_secrets` made."""
        store_secrets.delete(self._session, names(self.target.environment_id).redis)

    def ensure_state_backend(self) -> Backend:
        """Make the state bucket if absent, leave the environment's marker in it, and say where the state is.

        Raises:
            AwsError: `bucket_taken` when another account owns the bucket.
            Stopped: `stop` was set.
        """
        self._bucket.ensure(self.target.environment_id)
        return Backend(
            {
                "bucket": self._bucket.name,
                "key": state_key(self.target.environment_id),
                "region": self.target.region,
                "role_arn": self.target.role_arn,
                "external_id": self.target.external_id,
                "session_name": names(self.target.environment_id).session,
                "path_style": self.target.s3_path_style,
            },
        )

    def lock_state(self, lock: StateLock) -> StateLock | None:
        """Lock the state as Terraform does; return None, or the lock in the way."""
        return self._lock.take(lock)

    def unlock_state(self, lock_id: str) -> bool:
        """Remove the lock if it has this id, and return whether it was removed."""
        return self._lock.release(lock_id)

    def has_state(self) -> bool:
        """Return whether there is a state that holds any resource, or one that cannot be read."""
        return self._bucket.holds_resources(self.target.environment_id)

    def keep_stack(self, operation_id: str, content: bytes) -> None:
        """Lay an operation's stack beside the state, in the place of an earlier one's."""
        self._beside.keep_stack(operation_id, content)

    def kept_stack(self, operation_id: str | None = None) -> bytes | None:
        """Return the stack that lies there: only if it is of this operation; without one, whosever it is."""
        return self._beside.kept_stack(operation_id)

    def keep_unsaved_state(self, state: UnsavedState) -> None:
        """Lay a state that could not be saved beside its place."""
        self._beside.keep_unsaved(state)

    def unsaved_states(self) -> list[UnsavedState]:
        """Return the states that were laid there."""
        return self._beside.unsaved()

    def forget_unsaved_state(self, id_: str) -> None:
        """Remove a state that was laid there."""
        self._beside.forget_unsaved(id_)

    def standing(self, wanted: Collection[str], known: Known) -> list[Standing]:
        """Return which of these addresses of the stack AWS has: by id, else by name or tag."""
        return adoption_table.standing(self._session, self.target.environment_id, wanted, known)

    def remove(self, failed: Standing, known: Known, seconds: float) -> None:
        """Delete a resource that failed for good, and wait until it is gone.

        Raises:
            AwsError: `removal_timeout`, `not_removed`, or another failure of AWS.
        """
        own = self.target.environment_id
        adoption_table.remove(self._session, own, failed, known, seconds=seconds, stop=self._stop)

    def cluster_access(self, choices: Mapping[str, Any] | None = None) -> ClusterAccess:
        """Return how to reach the Kubernetes API of the cluster, which choices may name, as the role.

        Raises:
            AwsError: `cluster_missing`, `cluster_not_ready` or `cluster_access_missing`; waiting is the
                caller's job.
        """
        given = chosen_cluster(choices)
        cluster = given.name if given else names(self.target.environment_id).cluster
        return cluster_access.describe(
            self._session, cluster, self.target.role_arn, is_given=given is not None
        )

    def database_credentials(self, outputs: Mapping[str, Any]) -> tuple[str, str]:
        """Return user name and password from the secret that RDS manages; the password changes every 7 days.

        Raises:
            AwsError: `secret_unreadable` when the secret is not of RDS's form.
        """
        secret_arn = str(outputs["database_secret_arn"])
        secrets: SecretsManagerClient = self._session.client("secretsmanager")
        with self._session.explained(f"read the secret {secret_arn}"):
            text = secrets.get_secret_value(SecretId=secret_arn).get("SecretString", "")
        try:
            document = json.loads(text)
            return str(document["username"]), str(document["password"])
        except (ValueError, KeyError, TypeError):
            # The cause is left out: it would quote the secret.
            raise AwsError(
                f"The secret {secret_arn} does not hold a database's user name and password.",
                detail='Expected JSON of the form {"username": ..., "password": ...}, as RDS writes it.',
                remedy="Check that nobody changed the secret; RDS restores it when the password is rotated.",
                code="secret_unreadable",
            ) from None

    def contents(self, is_own: Callable[[str], bool]) -> list[Contents]:
        """Return what is in each bucket, without objects that are Beta9's own; empty ones are left out."""
        return buckets.contents(self._session, self.target.environment_id, is_own)

    def empty_stores(self, tell: Callable[[str, int], None], is_over: Callable[[], bool]) -> None:
        """Delete all objects in all versions, several requests at the same time, until `is_over`."""
        buckets.empty(self._session, self.target.environment_id, tell, is_over)

    def take_snapshot(self, seconds: float) -> str | None:
        """Take the database's last snapshot, wait for it, and return its name; None without a database.

        Raises:
            AwsError: `snapshot_failed` when it is not there after so many seconds.
        """
        return protection.take_snapshot(self._session, self.target.environment_id, seconds, self._stop)

    def lift_protection(self, seconds: float) -> list[str]:
        """Turn off the deletion protection of RDS and EKS; return in words what was protected.

        What AWS is still making is waited for so many seconds.
        """
        return protection.lift(self._session, self.target.environment_id, seconds, self._stop)

    def sweep(self, seconds: float, choices: Mapping[str, Any] | None = None) -> list[str]:
        """Remove what the cluster has left behind, once it is gone; return what was removed.

        Of a cluster of the user's that is what was made in it for the environment.
        """
        given = chosen_cluster(choices)
        return sweep.sweep(self._session, self.target.environment_id, seconds, self._stop, given=given)

    def leftovers(self, choices: Mapping[str, Any] | None = None) -> list[Leftover]:
        """Return what AWS still shows of the environment, without its state; empty when all is gone."""
        return inventory.leftovers(self._session, self.target.environment_id, chosen_cluster(choices))

    def kept(self) -> list[Leftover]:
        """Return what stays for a reason: snapshots, and keys that AWS deletes days later."""
        return inventory.kept(self._session, self.target.environment_id)

    def purge_state(self) -> None:
        """Delete the environment's state in all versions, then the bucket if no other environment uses it."""
        self._bucket.purge(self.target.environment_id)
