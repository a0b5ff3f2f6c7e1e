-- A database and a role for each service, made when the volume is new. The passwords come from the environment
-- (.compose/postgres.env).

\getenv models_password MODELS_PASSWORD
\getenv secrets_password SECRETS_PASSWORD

CREATE ROLE models LOGIN PASSWORD :'models_password';
CREATE DATABASE models OWNER models;
REVOKE ALL ON DATABASE models FROM PUBLIC;

CREATE ROLE secrets LOGIN PASSWORD :'secrets_password';
CREATE DATABASE secrets OWNER secrets;
REVOKE ALL ON DATABASE secrets FROM PUBLIC;
