#!/usr/bin/env bash
# get-vendors.sh - the vendors' own client libraries, for tests of the cookbook, and Shopify's schema. Needs Node and npm.
#
# In:   nothing. $CARGO_TARGET_DIR is respected.
# Out:  stdout: the folder that holds node_modules and shopify-admin.json.gz; stderr: progress and trouble; exit 0, or 1.
#
# Downloads about 25 MB. Ready: returns at once. May be run many times at once. To begin afresh, delete the folder.
set -euo pipefail

# Of each the newest that runs in Node 18.
packages=(
  @aws-crypto/sha256-js@5.2.0
  @aws-sdk/client-eventbridge@3.901.0
  @elastic/elasticsearch@8.15.0
  @hubspot/api-client@13.5.0
  @opensearch-project/opensearch@3.5.1
  @pagerduty/pdjs@2.2.4
  @sendgrid/mail@8.1.6
  @shopify/admin-api-client@1.1.1
  @slack/web-api@7.19.0
  @smithy/signature-v4@5.3.0
  cloudflare@4.5.0
  graphql@16.11.0
  meilisearch@0.50.0
  soap@1.1.12
  standardwebhooks@1.0.0
  stripe@20.4.1
  twilio@5.13.1
)
# Holds the schemas of Shopify's APIs. Its own dependencies are not needed.
schemas=@shopify/dev-mcp@1.16.0
schema=package/dist/data/admin_2026-07.json.gz

root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)
cache=${CARGO_TARGET_DIR:-$root/target}/vendors
mkdir -p -- "$cache"
exec 9>"$cache/lock"
flock 9
wanted="${packages[*]} $schemas $schema"
if [[ $(cat -- "$cache/ready" 2>/dev/null) != "$wanted" ]]; then
  type -P npm >/dev/null || { echo "get-vendors: npm is missing; install Node 18 or later" >&2; exit 1; }
  npm install --no-package-lock --no-audit --no-fund --ignore-scripts --prefix "$cache" "${packages[@]}" >&2
  npm pack --silent --ignore-scripts --pack-destination "$cache" "$schemas" >&2
  tar -xzOf "$cache"/shopify-dev-mcp-*.tgz "$schema" >"$cache/shopify-admin.json.gz"
  rm -f -- "$cache"/shopify-dev-mcp-*.tgz
  printf '%s' "$wanted" >"$cache/ready"
fi
printf '%s\n' "$cache"
