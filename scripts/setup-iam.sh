#!/usr/bin/env bash
# Make the role as which Beta9 Provisioning works in a customer's account, and its four policies, or bring them up to
# date. An administrator of that account runs it with the AWS CLI, version 1 or 2; run again it changes nothing.
set -euo pipefail

usage() {
    cat <<'END'
usage: setup-iam.sh --principal ARN --external-id ID [options]

  --principal ARN              role of the control plane's worker, such as
                               arn:aws:iam::111122223333:role/Beta9ProvisioningService
  --external-id ID             what the worker has to say to get in: 8 characters or more, of this customer alone
  --role-name NAME             default Beta9Provisioner, the only name that the service takes
  --path PATH                  IAM path of role and policies, default /
  --permissions-boundary ARN   policy that bounds the role
  --boundary-of-roles ARN      policy that bounds the roles it makes, which configurations of environments name as
                               cloud.permissions_boundary_arn; none ends that
  --bucket-prefix PREFIX       data.object_store.bucket_prefix of the environments, default beta9
  --dry-run                    look, say what would be done, and do nothing
END
}

stop() {
    echo "setup-iam: $*" >&2
    exit 1
}

principal='' external_id='' role=Beta9Provisioner path=/ boundary='' of_roles='' prefix=beta9 dry_run=false
while [ $# -gt 0 ]; do
    case $1 in
    --dry-run) dry_run=true && shift && continue ;;
    --help | -h) usage && exit ;;
    --principal | --external-id | --role-name | --path | --permissions-boundary | --boundary-of-roles) ;;
    --bucket-prefix) ;;
    *) usage >&2 && stop "there is no option $1" ;;
    esac
    [ $# -ge 2 ] || stop "$1 needs a value"
    case $1 in
    --principal) principal=$2 ;;
    --external-id) external_id=$2 ;;
    --role-name) role=$2 ;;
    --path) path=$2 ;;
    --permissions-boundary) boundary=$2 ;;
    --boundary-of-roles) of_roles=$2 ;;
    --bucket-prefix) prefix=$2 ;;
    esac
    shift 2
done

# What is wrong with the options is said before AWS is asked.
fits() {
    local LC_ALL=C
    [[ $1 =~ ^$2$ ]]
}
name='[A-Za-z0-9_+=,.@-]'
[ -n "$principal" ] || stop "--principal is missing: ask the operator of the control plane for the ARN of its role"
[ -n "$external_id" ] || stop "--external-id is missing: the operator of the control plane gives you one of your own"
fits "$principal" "arn:aws:iam::[0-9]{12}:(role|user)/[A-Za-z0-9_+=,.@/-]+" || stop "--principal $principal is not" \
    "arn:aws:iam::ACCOUNT:role/NAME, where ACCOUNT has twelve digits; a session (assumed-role) is none"
[ "${#external_id}" -ge 8 ] || stop "--external-id is shorter than 8 characters"
fits "$external_id" '[A-Za-z0-9_+=,.@:/-]+' || stop "--external-id may have letters, digits and _+=,.@:/- only"
fits "$role" "$name{1,64}" || stop "--role-name $role is no name of a role"
fits "$path" '/([!-.0-~]+/)*' || stop "--path $path does not begin and end with /"
# The role may change roles in role/beta9-*, where * takes slashes, too: it must not be one of them itself.
case /$role$path in */beta9-*) stop "neither --role-name nor a part of --path may begin with beta9-" ;; esac
fits "$prefix" '[a-z0-9][a-z0-9-]{1,28}[a-z0-9]' ||
    stop "--bucket-prefix $prefix: it has 3 to 30 lower-case letters, digits and hyphens"
[ -z "$boundary" ] || fits "$boundary" "arn:aws:iam::(aws|[0-9]{12}):policy/.+" ||
    stop "--permissions-boundary $boundary is not arn:aws:iam::ACCOUNT:policy/NAME, where ACCOUNT has twelve digits"
case $of_roles in
'' | none) ;;
*)
    fits "$of_roles" "arn:aws:iam::(aws|[0-9]{12}):policy/[A-Za-z0-9_+=,.@/-]+" || stop "--boundary-of-roles" \
        "$of_roles is neither none nor arn:aws:iam::ACCOUNT:policy/NAME, where ACCOUNT has twelve digits"
    ;;
esac

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
policies=$here/policies
[ -d "$policies" ] || policies=$here/../iam/customer-account/policies
[ -f "$policies/read.json" ] || stop "the policies are missing: they are in policies/ beside this script, or in" \
    "iam/customer-account/policies/ of the checkout"

command -v aws >/dev/null || stop "there is no AWS CLI (aws) on PATH: https://docs.aws.amazon.com/cli/"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
errors=$work/errors
export AWS_PAGER=''
identity=$(aws sts get-caller-identity --query '[Account, Arn]' --output text 2>"$errors") ||
    stop "AWS does not take the AWS CLI's credentials, or there are none: $(tail -n 1 "$errors")"
read -r account caller <<<"$identity"
[[ $caller == arn:aws:* ]] || stop "$caller is in another partition than aws, for which there are no policies"
echo "In account $account, as $caller:"

# Print what a command of IAM answers; nothing when the thing is not there.
look() {
    aws iam "$@" 2>"$errors" || grep -q NoSuchEntity "$errors" || stop "$(tail -n 1 "$errors")"
}

changes=0
change() { # what in words, then the command of IAM
    changes=$((changes + 1))
    if $dry_run; then
        echo "  would $1"
        return
    fi
    echo "  $1"
    aws iam "${@:2}" >/dev/null 2>"$errors" || stop "could not $1: $(tail -n 1 "$errors")$(advice)"
}

advice() {
    if grep -q 'Invalid principal' "$errors"; then
        echo " ($principal has to exist: ask the operator of the control plane)"
    elif grep -q EntityAlreadyExists "$errors"; then
        echo " (it is there with another path: names count once in an account)"
    fi
}

# Neither policies nor the trust policy have white space in what they say.
compact() { tr -d '[:space:]'; }

policy_arn() { echo "arn:aws:iam::$account:policy$path$1"; }

make_policy() { # its name, its file
    local arn file=$work/$1.json default count oldest is_bounded=false from=$2
    arn=$(policy_arn "$1")
    [ ! -f "$policies/$2-bounded.json" ] || is_bounded=true
    if $is_bounded && [ -n "$of_roles" ] && [ "$of_roles" != none ]; then from=$2-bounded; fi
    sed -e "s|arn:aws:s3:::beta9-\*|arn:aws:s3:::$prefix-*|g" -e "s|BOUNDARY_OF_ROLES|$of_roles|g" \
        "$policies/$from.json" | compact >"$file"
    default=$(look get-policy --policy-arn "$arn" --query Policy.DefaultVersionId --output text)
    if [ -z "$default" ]; then
        change "make the policy $1" create-policy --policy-name "$1" --path "$path" --policy-document "file://$file"
        return
    fi
    look get-policy-version --policy-arn "$arn" --version-id "$default" --query PolicyVersion.Document --output json |
        compact >"$work/known"
    if cmp -s "$work/known" "$file"; then return; fi
    # Without a word the roles that are made would lose their bounds.
    if $is_bounded && [ -z "$of_roles" ] && grep -q iam:PermissionsBoundary "$work/known"; then
        stop "the policy $1 bounds the roles that are made: say --boundary-of-roles ARN again, or none to end that"
    fi
    # IAM keeps five versions.
    look list-policy-versions --policy-arn "$arn" --output text \
        --query '[length(Versions), sort_by(Versions[?!IsDefaultVersion], &CreateDate)[0].VersionId]' >"$work/versions"
    read -r count oldest <"$work/versions"
    if [ "$count" -ge 5 ]; then
        change "delete version $oldest of the policy $1" delete-policy-version \
            --policy-arn "$arn" --version-id "$oldest"
    fi
    change "give the policy $1 a new version" create-policy-version --policy-arn "$arn" \
        --policy-document "file://$file" --set-as-default
}

make_role() {
    local found known known_boundary
    # AWS's reference does not know sts:ExternalId for sts:TagSession, which lets in nobody by itself.
    compact >"$work/trust" <<END
{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Principal": {"AWS": "$principal"}, "Action": "sts:AssumeRole",
   "Condition": {"StringEquals": {"sts:ExternalId": "$external_id"}}},
  {"Effect": "Allow", "Principal": {"AWS": "$principal"}, "Action": "sts:TagSession"}]}
END
    found=$(look get-role --role-name "$role" --output text \
        --query 'Role.[Path, PermissionsBoundary.PermissionsBoundaryArn]')
    if [ -z "$found" ]; then
        change "make the role $role" create-role --role-name "$role" --path "$path" \
            --description "Beta9 Provisioning works in this account as this role." --max-session-duration 3600 \
            --assume-role-policy-document "file://$work/trust" ${boundary:+--permissions-boundary "$boundary"}
        return
    fi
    read -r known known_boundary <<<"$found"
    [ "$known" = "$path" ] || stop "the role $role is there with the path $known, which cannot be changed: say" \
        "--path $known, or delete the role"
    look get-role --role-name "$role" --query Role.AssumeRolePolicyDocument --output json | compact >"$work/known"
    cmp -s "$work/known" "$work/trust" || change "change whom the role $role trusts" update-assume-role-policy \
        --role-name "$role" --policy-document "file://$work/trust"
    if [ -z "$boundary" ]; then
        [ "$known_boundary" = None ] || echo "  the role keeps its permissions boundary $known_boundary"
    elif [ "$known_boundary" != "$boundary" ]; then
        change "bound the role $role" put-role-permissions-boundary \
            --role-name "$role" --permissions-boundary "$boundary"
    fi
}

phases='Read Create Operate Destroy'
for phase in $phases; do
    make_policy "Beta9Provisioner$phase" "$(echo "$phase" | tr '[:upper:]' '[:lower:]')"
done
make_role
attached=$(look list-attached-role-policies --role-name "$role" --query 'AttachedPolicies[].PolicyArn' --output text)
for phase in $phases; do
    arn=$(policy_arn "Beta9Provisioner$phase")
    grep -qwF -- "$arn" <<<"$attached" || change "attach Beta9Provisioner$phase to the role" attach-role-policy \
        --role-name "$role" --policy-arn "$arn"
done
[ "$changes" -gt 0 ] || echo "  everything is as it should be"
[ "$role" = Beta9Provisioner ] || echo "  the service takes no role of another name than Beta9Provisioner"

cat <<END

The role is arn:aws:iam::$account:role$path$role. Configurations of environments in this account say:

cloud:
  provider: aws
  account_id: "$account"
  role_arn: arn:aws:iam::$account:role$path$role
  external_id: "$external_id"
END
[ "$prefix" = beta9 ] || printf 'data:\n  object_store:\n    bucket_prefix: %s\n' "$prefix"
