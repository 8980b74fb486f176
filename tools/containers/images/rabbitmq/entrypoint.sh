#!/bin/sh
# Run the node as its own user, with the user and the password of the environment; commands for it find the same cookie.
set -eu
if [ "$(id -u)" = 0 ] && [ "$1" = rabbitmq-server ]; then
    chown -R rabbitmq:rabbitmq /var/lib/rabbitmq
    exec setpriv --reuid=rabbitmq --regid=rabbitmq --init-groups "$0" "$@"
fi
if [ -n "${RABBITMQ_DEFAULT_USER:-}" ]; then
    printf 'default_user = %s\ndefault_pass = %s\n' "$RABBITMQ_DEFAULT_USER" "$RABBITMQ_DEFAULT_PASS" \
        >/etc/rabbitmq/conf.d/90-defaults.conf
fi
if [ -n "${RABBITMQ_ERLANG_COOKIE:-}" ] && [ ! -e "$HOME/.erlang.cookie" ]; then
    printf '%s' "$RABBITMQ_ERLANG_COOKIE" >"$HOME/.erlang.cookie"
    chmod 600 "$HOME/.erlang.cookie"
fi
ulimit -n 65536 2>/dev/null || true
# Debian's command of that name starts the node as a child and does not tell it of signals.
if [ "$1" = rabbitmq-server ]; then set -- "/usr/lib/rabbitmq/bin/$1"; fi
exec "$@"
