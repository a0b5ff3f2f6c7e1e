-- A database for each service, and two roles: one owns it and migrates it, the other is what the service runs as and
-- owns nothing. Run at every start of the stack (postgres-roles in compose.yaml): what is there already stays, and a
-- database whose service still owned it gets its owner. The passwords come from the environment (.compose/postgres.env).

\set ON_ERROR_STOP on
\getenv models_password MODELS_PASSWORD
\getenv models_owner_password MODELS_OWNER_PASSWORD
\getenv secrets_password SECRETS_PASSWORD
\getenv secrets_owner_password SECRETS_OWNER_PASSWORD

SELECT format('CREATE ROLE %I LOGIN', name)
FROM unnest(ARRAY['models', 'models_owner', 'secrets', 'secrets_owner']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec

ALTER ROLE models PASSWORD :'models_password';
ALTER ROLE models_owner PASSWORD :'models_owner_password';
ALTER ROLE secrets PASSWORD :'secrets_password';
ALTER ROLE secrets_owner PASSWORD :'secrets_owner_password';

SELECT format('CREATE DATABASE %I OWNER %I', name, name || '_owner')
FROM unnest(ARRAY['models', 'secrets']) AS name
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = name) \gexec

ALTER DATABASE models OWNER TO models_owner;
REVOKE ALL ON DATABASE models FROM PUBLIC;
GRANT CONNECT ON DATABASE models TO models;
ALTER DATABASE secrets OWNER TO secrets_owner;
REVOKE ALL ON DATABASE secrets FROM PUBLIC;
GRANT CONNECT ON DATABASE secrets TO secrets;

\connect models
REASSIGN OWNED BY models TO models_owner;
\connect secrets
REASSIGN OWNED BY secrets TO secrets_owner;
