#!/bin/sh
# A compiler's launcher: where the build tree that runs this test has compiled the same source by the same command, its
# object is copied, else the compiler runs. The same: but for the places of the two build trees, and the dependency file.
# A source that joins others (CMAKE_UNITY_BUILD) is as new as the newest of them.
# REUSE_GUEST: this build tree of Powerhouse; REUSE_HOST: the other; REUSE_COMMANDS: the other's commands, by line, with
# its path as @; REUSE_LOG: gets a line for each object copied.
output=
source=
previous=
for argument in "$@"; do
  [ "$previous" = -o ] && output=$argument
  [ "$previous" = -c ] && source=$argument
  previous=$argument
done
command=$(printf '%s' "$*" | sed -e "s|$REUSE_GUEST|@|g" -e 's| -o powerhouse/| -o |' -e 's| -MD -MT [^ ]* -MF [^ ]*||')
object=$REUSE_HOST/${output#powerhouse/}
case $source in "$REUSE_GUEST"/*) source=$REUSE_HOST${source#"$REUSE_GUEST"} ;; esac
reusable() {
  grep -Fxq -e "$command" "$REUSE_COMMANDS" && [ "$object" -nt "$source" ] || return 1
  case $source in */Unity/*) ;; *) return 0 ;; esac
  for part in $(sed -n 's/^#include "\(.*\)"$/\1/p' "$source"); do
    [ "$object" -nt "$part" ] || return 1
  done
}
if reusable; then
  echo "$output" >> "$REUSE_LOG"
  exec cp "$object" "$output"
fi
exec "$@"
