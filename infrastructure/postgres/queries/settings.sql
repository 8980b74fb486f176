-- Settings that change while the program runs.

-- name: listen
LISTEN orderwright_settings

-- name: say
SELECT set_config('application_name', %(name)s, false)

-- name: followers
SELECT split_part(a.application_name, '@', 2)::bigint, count(*)
FROM pg_stat_activity a
WHERE a.datname = current_database() AND a.application_name ~ '^orderwright settings@[0-9]{1,18}$'
GROUP BY 1

-- name: newest
SELECT c.version, c.document::text FROM settings_changes c ORDER BY c.version DESC LIMIT 1

-- name: by_request
SELECT c.version, c.document::text FROM settings_changes c WHERE c.request = %(request)s

-- name: change
INSERT INTO settings_changes (version, request, document, who, why)
SELECT %(expected)s::bigint + 1, %(request)s, %(document)s::json, %(who)s, %(why)s
WHERE %(expected)s::bigint = (SELECT coalesce(max(c.version), 0) FROM settings_changes c)
ON CONFLICT DO NOTHING
RETURNING version

-- name: history
SELECT c.version, c.document::text, c.who, c.why, c.at
FROM settings_changes c
WHERE %(before)s::bigint IS NULL OR c.version < %(before)s
ORDER BY c.version DESC
LIMIT %(limit)s
