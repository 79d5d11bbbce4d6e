#!/usr/bin/env bash
# step.sh NAME COMMAND...: runs the command, says how long it took, keeps its exit status.
name=$1
shift
started=$SECONDS
echo "== $name ..."
"$@"
status=$?
if [ "$status" -eq 0 ]; then
  echo "== $name: $((SECONDS - started)) s"
else
  echo "== $name: FAILED with $status after $((SECONDS - started)) s" >&2
fi
exit "$status"
