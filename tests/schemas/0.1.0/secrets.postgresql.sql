--
-- PostgreSQL database dump
--

\restrict ejV5bPMN8fqlCS4b4ubMF0tsS52JOxwzg2XKlZQh9V6avOqQN6ZEaRpAZ9p9gIx

-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)
-- Dumped by pg_dump version 15.18 (Debian 15.18-0+deb12u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: alembic_version; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);


--
-- Name: outbox; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.outbox (
    id bigint NOT NULL,
    key character varying(255) NOT NULL,
    revision bigint NOT NULL,
    operation character varying(8) NOT NULL,
    index_entries text NOT NULL,
    payload bytea NOT NULL,
    created_at double precision NOT NULL,
    claimed_until double precision DEFAULT 0 NOT NULL,
    published_at double precision,
    refusals integer DEFAULT 0 NOT NULL,
    set_aside boolean DEFAULT false NOT NULL
);


--
-- Name: outbox_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.outbox_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: outbox_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.outbox_id_seq OWNED BY public.outbox.id;


--
-- Name: revision; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.revision (
    id integer NOT NULL,
    n bigint NOT NULL,
    incarnation character varying(32) NOT NULL,
    pruned_through bigint DEFAULT 0 NOT NULL
);


--
-- Name: revision_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.revision_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: revision_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.revision_id_seq OWNED BY public.revision.id;


--
-- Name: secret; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.secret (
    id character varying(64) NOT NULL,
    workspace character varying(63) NOT NULL,
    workspace_id character varying(64),
    name character varying(63) NOT NULL,
    description text,
    created_at timestamp without time zone NOT NULL,
    updated_at timestamp without time zone NOT NULL,
    revision bigint DEFAULT 0 NOT NULL,
    kek_id character varying(16),
    wrapped_key bytea,
    ciphertext bytea
);


--
-- Name: outbox id; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.outbox ALTER COLUMN id SET DEFAULT nextval('public.outbox_id_seq'::regclass);


--
-- Name: revision id; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.revision ALTER COLUMN id SET DEFAULT nextval('public.revision_id_seq'::regclass);


--
-- Data for Name: alembic_version; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.alembic_version VALUES ('secrets_0001');


--
-- Data for Name: outbox; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.outbox VALUES (1, 'secret/system/ngc-api-key', 1, 'put', '[]', '\x7b22776f726b7370616365223a2273797374656d222c226e616d65223a226e67632d6170692d6b6579222c2276657273696f6e223a317d', 1795476596.4003391, 1795476596.4023392, NULL, 0, false);
INSERT INTO public.outbox VALUES (2, 'secret/default/key', 2, 'put', '[]', '\x7b22776f726b7370616365223a2264656661756c74222c226e616d65223a226b6579222c2276657273696f6e223a327d', 1795476596.4370453, 1795476596.4390454, NULL, 0, false);
INSERT INTO public.outbox VALUES (3, 'secret/default/key', 3, 'put', '[]', '\x7b22776f726b7370616365223a2264656661756c74222c226e616d65223a226b6579222c2276657273696f6e223a337d', 1795476596.5112402, 1795476596.5132403, NULL, 0, false);


--
-- Data for Name: revision; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.revision VALUES (1, 3, 'b25bb8b3b0c83158326ce11c0f713c48', 0);


--
-- Data for Name: secret; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.secret VALUES ('secret-fqaLWtQsFhE04Van', 'system', NULL, 'ngc-api-key', 'Built in. Its value is NGC_API_KEY of the secrets service''s environment.', '2026-11-23 23:29:56.24802', '2026-11-23 23:29:56.24802', 1, 'fcf6c22437a15d8e', '\x751bec06d8ccd90871f3828023e1f226e605da5af3a7b7e7e485b5e3f89ce6ac5c5bc8cd8fccfbc64d391cffac1215c4ae4e0fb1e24531d8d64051ba', '\x0320dc5f09ed2b18629c4588b54ae176d3403172be37b201dc7ba6e4966beb81795cde6a3ad3f00399ab3afb5131a174cc5c37c019e81c');
INSERT INTO public.secret VALUES ('secret-DjXbw2LOa5baKNTW', 'default', 'workspace-of-then', 'key', 'described', '2026-11-23 23:29:56.417347', '2026-11-23 23:29:56.461542', 3, 'fcf6c22437a15d8e', '\x3b50a90bb83df89a7e35973595050e560a520f3f6870e34a49c9ec1be276dc92466182ae750281ac6b03de87a45b3e83216c94faffc861448b47d6ee', '\x9539867404ec9be6a50bdd08ad6342cf10149e6842051fe1fc3342656efd2f2464713549d4552c9ac66e8dece73eddb730b49fd2ad7b854e');


--
-- Name: outbox_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.outbox_id_seq', 3, true);


--
-- Name: revision_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.revision_id_seq', 1, false);


--
-- Name: alembic_version alembic_version_pkc; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);


--
-- Name: outbox outbox_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_pkey PRIMARY KEY (id);


--
-- Name: revision revision_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.revision
    ADD CONSTRAINT revision_pkey PRIMARY KEY (id);


--
-- Name: secret secret_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.secret
    ADD CONSTRAINT secret_pkey PRIMARY KEY (id);


--
-- Name: secret uq_secret_workspace_name; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.secret
    ADD CONSTRAINT uq_secret_workspace_name UNIQUE (workspace, name);


--
-- Name: ix_outbox_key_revision; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_outbox_key_revision ON public.outbox USING btree (key, revision);


--
-- Name: ix_outbox_revision; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_outbox_revision ON public.outbox USING btree (revision);


--
-- Name: ix_outbox_unpublished; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_outbox_unpublished ON public.outbox USING btree (id) WHERE (published_at IS NULL);


--
-- PostgreSQL database dump complete
--

\unrestrict ejV5bPMN8fqlCS4b4ubMF0tsS52JOxwzg2XKlZQh9V6avOqQN6ZEaRpAZ9p9gIx

