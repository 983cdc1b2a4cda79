#!/bin/sh
# Run a command, and again after a crash, as a command of the lab then goes on where it stopped.
#   restart recsys-lab sweep search=sasrec ...
# Not again after success (0), a mistake in the command (2), a verdict (3) or a stop (130): these
# would be the same. RESTARTS (10) limits the number of restarts; each waits RESTART_DELAY (15)
# seconds. SIGINT and SIGTERM are passed on, and nothing is started after them.
restarts="${RESTARTS:-10}"
stopped=
child=
# The child runs in the background, where a shell lets it ignore SIGINT.
stop() {
  stopped=1
  [ -z "$child" ] || kill -TERM "$child" 2>/dev/null
}
trap stop INT TERM

while :; do
  "$@" &
  child=$!
  [ -z "$stopped" ] || stop # a signal before the child was known
  wait "$child"
  code=$?
  while kill -0 "$child" 2>/dev/null; do # a signal ended the wait, not the child
    wait "$child"
    code=$?
  done
  child=
  case "$code" in
    0 | 2 | 3 | 130) exit "$code" ;;
  esac
  if [ -n "$stopped" ] || [ "$restarts" -le 0 ]; then
    exit "$code"
  fi
  restarts=$((restarts - 1))
  echo "restart: exit code $code; again in ${RESTART_DELAY:-15} s, $restarts restarts left" >&2
  sleep "${RESTART_DELAY:-15}" &
  wait $!
  [ -z "$stopped" ] || exit "$code"
done
