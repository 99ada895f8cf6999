#!/bin/bash
# What a person would type instead: Terraform, then one chart after the other. Everything that it needs is
# ready: the synthesized stack, the state bucket, the charts and their values, a kubeconfig with a token.
#
#   TERRAFORM=... HELM=... KUBECTL=... bare.sh STACK CHARTS INPUTS MARKS
#
# STACK, CHARTS and INPUTS are directories. INPUTS holds `secrets.json`, what Beta9's chart wants to find in the
# cluster; `releases`, one "<name> <namespace> <timeout>" a line; and their values. Writes "<name> <Unix time>" to the
# file MARKS when a command has ended.
set -euo pipefail
stack=$1 charts=$2 inputs=$3 marks=$4

mark() {
    echo "$1 $EPOCHREALTIME" >>"$marks"
}

mark start
cd "$stack"
"$TERRAFORM" init -input=false -no-color
mark init
"$TERRAFORM" apply -auto-approve -input=false -no-color
mark apply
"$KUBECTL" create --filename="$inputs/secrets.json"
mark secrets
while read -r release namespace timeout; do
    "$HELM" upgrade "$release" "$charts/$release" --install --create-namespace --namespace="$namespace" \
        --values="$inputs/$release.values.json" --wait --timeout="$timeout" --history-max=5 --hide-notes </dev/null
    mark "$release"
done <"$inputs/releases"
