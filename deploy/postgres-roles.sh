#!/bin/sh
# The roles and the database that Routex needs (docs/adr/0003), made when PostgreSQL's folder is new.
set -eu
psql -v ON_ERROR_STOP=1 -U postgres -v password="$ROUTEX_DATABASE_PASSWORD" <<'SQL'
CREATE ROLE routex_writer NOLOGIN;
CREATE ROLE routex_app LOGIN NOINHERIT PASSWORD :'password';
GRANT routex_writer TO routex_app WITH INHERIT FALSE, SET TRUE;
CREATE DATABASE routex OWNER routex_app;
\connect routex
GRANT USAGE, CREATE ON SCHEMA public TO routex_app, routex_writer;
SQL
