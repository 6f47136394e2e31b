#!/bin/sh
# Makes the secrets that docker-compose.yml names, at random, in ./secrets (or the folder given). Those that are there stay.
#
# The folder is for its owner alone. The files in it are not: containers, whose users have other numbers, read them in place.
set -eu
folder=${1:-secrets}
umask 077
mkdir -p "$folder"
random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
keep() { # NAME VALUE
  [ -e "$folder/$1" ] && return
  printf '%s' "$2" >"$folder/$1.new"
  chmod 644 "$folder/$1.new"
  mv "$folder/$1.new" "$folder/$1"
  echo "$folder/$1"
}
keep postgres_password "$(random)"
keep database_url "postgresql://footnote:$(cat "$folder/postgres_password")@postgres:5432/footnote"
keep minio_password "$(random)"
keep milvus_password "$(random)"
keep milvus_token "root:$(cat "$folder/milvus_password")"
