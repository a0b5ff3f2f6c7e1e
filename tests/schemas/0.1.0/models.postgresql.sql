--
-- PostgreSQL database dump
--

\restrict afVIrNjNYHA0HjC61jx75IcckoN4GQ2swhCJaIMAe2CEhTqRxRk1lvx7NasdnKG

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
-- Name: model; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.model (
    id character varying(64) NOT NULL,
    workspace character varying(63) NOT NULL,
    name character varying(64) NOT NULL,
    project character varying(255),
    description text,
    spec json,
    finetuning_type text,
    fileset text,
    trust_remote_code boolean,
    base_model text,
    api_endpoint json,
    backend_format character varying(32),
    adapters json,
    prompt json,
    custom_fields json,
    ownership json,
    discovered boolean NOT NULL,
    created_at timestamp without time zone NOT NULL,
    updated_at timestamp without time zone NOT NULL,
    revision bigint DEFAULT 0 NOT NULL
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
-- Name: provider; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.provider (
    id character varying(64) NOT NULL,
    workspace character varying(63) NOT NULL,
    name character varying(64) NOT NULL,
    project character varying(255),
    description text,
    host_url character varying(2048) NOT NULL,
    api_key_secret_name character varying(63),
    enabled_models json,
    default_extra_headers json,
    required_extra_headers json,
    default_extra_body json,
    required_extra_body json,
    auth_header_format text,
    options json,
    model_deployment_id character varying(255),
    auth_context json,
    status character varying(16) NOT NULL,
    status_message text DEFAULT ''::text NOT NULL,
    generation integer DEFAULT 1 NOT NULL,
    next_probe_at double precision DEFAULT 0 NOT NULL,
    probe_claimed_until double precision DEFAULT 0 NOT NULL,
    probe_failures integer DEFAULT 0 NOT NULL,
    failing_since double precision,
    created_at timestamp without time zone NOT NULL,
    updated_at timestamp without time zone NOT NULL,
    revision bigint DEFAULT 0 NOT NULL
);


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
-- Name: served_model; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.served_model (
    provider_id character varying(64) NOT NULL,
    served_id character varying(512) NOT NULL,
    workspace character varying(63) NOT NULL,
    entity character varying(63) NOT NULL,
    left_out boolean DEFAULT false NOT NULL
);


--
-- Name: virtual_model; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.virtual_model (
    id character varying(64) NOT NULL,
    workspace character varying(63) NOT NULL,
    name character varying(64) NOT NULL,
    project character varying(255),
    default_model_entity character varying(128),
    models json,
    request_middleware json,
    response_middleware json,
    post_response_middleware json,
    override_proxy json,
    options json,
    autoprovisioned boolean NOT NULL,
    created_by character varying(255),
    updated_by character varying(255),
    created_at timestamp without time zone NOT NULL,
    updated_at timestamp without time zone NOT NULL,
    revision bigint DEFAULT 0 NOT NULL
);


--
-- Name: workspace; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.workspace (
    id character varying(64) NOT NULL,
    name character varying(63) NOT NULL,
    description text,
    created_at timestamp without time zone NOT NULL,
    created_by character varying(255),
    updated_at timestamp without time zone NOT NULL,
    updated_by character varying(255),
    revision bigint DEFAULT 0 NOT NULL
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

INSERT INTO public.alembic_version VALUES ('models_0002');


--
-- Data for Name: model; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.model VALUES ('model-gaiNEtHVjPhTHO82', 'default', 'gpt-4', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, true, '2026-11-23 23:29:53.78561', '2026-11-23 23:29:53.78561', 5);
INSERT INTO public.model VALUES ('model-XY1WMlWNXxqhHaoI', 'default', 'mine', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false, '2026-11-23 23:29:53.967704', '2026-11-23 23:29:53.967704', 6);


--
-- Data for Name: outbox; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.outbox VALUES (1, 'workspace/default/default', 1, 'put', '[]', '\x7b226964223a22776f726b73706163652d786d614563624f424948527073463570222c226e616d65223a2264656661756c74227d', 1795476593.3127697, 1795476593.3187697, NULL, 0, false);
INSERT INTO public.outbox VALUES (2, 'workspace/system/system', 1, 'put', '[]', '\x7b226964223a22776f726b73706163652d6f7274696a5859344b64656d48346762222c226e616d65223a2273797374656d227d', 1795476593.3127697, 1795476593.3187697, NULL, 0, false);
INSERT INTO public.outbox VALUES (3, 'provider/system/nvidia-build', 1, 'put', '[]', '\x7b226964223a226d6f64656c2d70726f76696465722d676461445a57464e3555346a30676f75222c22776f726b7370616365223a2273797374656d222c226e616d65223a226e76696469612d6275696c64222c22686f73745f75726c223a2268747470733a2f2f696e746567726174652e6170692e6e76696469612e636f6d222c22737461747573223a2243524541544544222c226170695f6b65795f7365637265745f6e616d65223a226e67632d6170692d6b6579222c22617574685f6865616465725f666f726d6174223a6e756c6c2c2264656661756c745f65787472615f68656164657273223a6e756c6c2c2272657175697265645f65787472615f68656164657273223a6e756c6c2c2264656661756c745f65787472615f626f6479223a6e756c6c2c2272657175697265645f65787472615f626f6479223a6e756c6c2c226f7074696f6e73223a6e756c6c7d', 1795476593.3127697, 1795476593.3187697, NULL, 0, false);
INSERT INTO public.outbox VALUES (4, 'workspace/team.x/team.x', 2, 'put', '[]', '\x7b226964223a22776f726b73706163652d347070586344616b6d61424a6f61666b222c226e616d65223a227465616d2e78227d', 1795476593.5244923, 1795476593.5264924, NULL, 0, false);
INSERT INTO public.outbox VALUES (5, 'provider/team.x/full.one', 3, 'put', '[]', '\x7b226964223a226d6f64656c2d70726f76696465722d624a7a6177654259445a616b57504454222c22776f726b7370616365223a227465616d2e78222c226e616d65223a2266756c6c2e6f6e65222c22686f73745f75726c223a2268747470733a2f2f6d6f64656c732e6578616d706c652f7631222c22737461747573223a2243524541544544222c226170695f6b65795f7365637265745f6e616d65223a226b6579222c22617574685f6865616465725f666f726d6174223a6e756c6c2c2264656661756c745f65787472615f68656164657273223a7b22782d64656661756c74223a2231227d2c2272657175697265645f65787472615f68656164657273223a6e756c6c2c2264656661756c745f65787472615f626f6479223a6e756c6c2c2272657175697265645f65787472615f626f6479223a7b2273656564223a377d2c226f7074696f6e73223a7b22636f6e6e6563745f74696d656f75745f73223a6e756c6c2c2266697273745f627974655f74696d656f75745f73223a6e756c6c2c2269646c655f74696d656f75745f73223a6e756c6c2c22746f74616c5f74696d656f75745f73223a6e756c6c2c226d61785f636f6e63757272656e6379223a372c226d61785f71756575655f73223a6e756c6c2c2263615f7365637265745f6e616d65223a6e756c6c7d7d', 1795476593.6573138, 1795476593.659314, NULL, 0, false);
INSERT INTO public.outbox VALUES (6, 'provider/default/bare', 4, 'put', '[]', '\x7b226964223a226d6f64656c2d70726f76696465722d724e42526263616a49424e6255356768222c22776f726b7370616365223a2264656661756c74222c226e616d65223a2262617265222c22686f73745f75726c223a2268747470733a2f2f6f746865722e6578616d706c65222c22737461747573223a2243524541544544222c226170695f6b65795f7365637265745f6e616d65223a6e756c6c2c22617574685f6865616465725f666f726d6174223a6e756c6c2c2264656661756c745f65787472615f68656164657273223a6e756c6c2c2272657175697265645f65787472615f68656164657273223a6e756c6c2c2264656661756c745f65787472615f626f6479223a6e756c6c2c2272657175697265645f65787472615f626f6479223a6e756c6c2c226f7074696f6e73223a6e756c6c7d', 1795476593.705561, 1795476593.707561, NULL, 0, false);
INSERT INTO public.outbox VALUES (7, 'model/default/gpt-4', 5, 'put', '[{"index": "vendor/default/gpt-4", "field": "gpt-4", "value": ""}]', '\x7b22776f726b7370616365223a2264656661756c74222c226e616d65223a226770742d34222c226261636b656e645f666f726d6174223a6e756c6c2c227365727665645f6279223a5b7b2270726f7669646572223a2264656661756c742f62617265222c227365727665645f6964223a226770742d34227d5d7d', 1795476593.9538574, 1795476593.9598575, NULL, 0, false);
INSERT INTO public.outbox VALUES (8, 'virtual-model/default/gpt-4', 5, 'put', '[{"index": "listing/default", "field": "gpt-4", "value": "1795476593"}]', '\x7b22776f726b7370616365223a2264656661756c74222c226e616d65223a226770742d34222c2263726561746564223a313739353437363539332c226175746f70726f766973696f6e6564223a747275652c2264656661756c745f6d6f64656c5f656e74697479223a2264656661756c742f6770742d34222c226d6f64656c73223a5b7b226d6f64656c223a2264656661756c742f6770742d34222c226261636b656e645f666f726d6174223a6e756c6c2c22776569676874223a312c227072696f72697479223a307d5d2c226f7074696f6e73223a6e756c6c7d', 1795476593.9538574, 1795476593.9598575, NULL, 0, false);
INSERT INTO public.outbox VALUES (9, 'provider/default/bare', 5, 'put', '[]', '\x7b226964223a226d6f64656c2d70726f76696465722d724e42526263616a49424e6255356768222c22776f726b7370616365223a2264656661756c74222c226e616d65223a2262617265222c22686f73745f75726c223a2268747470733a2f2f6f746865722e6578616d706c65222c22737461747573223a2243524541544544222c226170695f6b65795f7365637265745f6e616d65223a6e756c6c2c22617574685f6865616465725f666f726d6174223a6e756c6c2c2264656661756c745f65787472615f68656164657273223a6e756c6c2c2272657175697265645f65787472615f68656164657273223a6e756c6c2c2264656661756c745f65787472615f626f6479223a6e756c6c2c2272657175697265645f65787472615f626f6479223a6e756c6c2c226f7074696f6e73223a6e756c6c7d', 1795476593.9538574, 1795476593.9598575, NULL, 0, false);
INSERT INTO public.outbox VALUES (10, 'model/default/mine', 6, 'put', '[]', '\x7b22776f726b7370616365223a2264656661756c74222c226e616d65223a226d696e65222c226261636b656e645f666f726d6174223a6e756c6c2c227365727665645f6279223a5b5d7d', 1795476594.027207, 1795476594.029207, NULL, 0, false);
INSERT INTO public.outbox VALUES (11, 'virtual-model/default/gpt-*', 7, 'put', '[{"index": "wildcard/default", "field": "gpt-", "value": ""}]', '\x7b22776f726b7370616365223a2264656661756c74222c226e616d65223a226770742d2a222c2263726561746564223a313739353437363539342c226175746f70726f766973696f6e6564223a66616c73652c2264656661756c745f6d6f64656c5f656e74697479223a6e756c6c2c226d6f64656c73223a5b5d2c226f7074696f6e73223a6e756c6c7d', 1795476594.07485, 1795476594.0768502, NULL, 0, false);
INSERT INTO public.outbox VALUES (12, 'virtual-model/default/removed', 8, 'put', '[{"index": "listing/default", "field": "removed", "value": "1795476594"}]', '\x7b22776f726b7370616365223a2264656661756c74222c226e616d65223a2272656d6f766564222c2263726561746564223a313739353437363539342c226175746f70726f766973696f6e6564223a66616c73652c2264656661756c745f6d6f64656c5f656e74697479223a6e756c6c2c226d6f64656c73223a5b5d2c226f7074696f6e73223a6e756c6c7d', 1795476594.1551187, 1795476594.1571188, NULL, 0, false);
INSERT INTO public.outbox VALUES (13, 'virtual-model/default/removed', 9, 'delete', '[]', '\x', 1795476594.2940743, 1795476594.2960744, NULL, 0, false);


--
-- Data for Name: provider; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.provider VALUES ('model-provider-gdaDZWFN5U4j0gou', 'system', 'nvidia-build', NULL, 'NVIDIA Build. Built in; it is READY once the platform was started with NGC_API_KEY.', 'https://integrate.api.nvidia.com', 'ngc-api-key', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'CREATED', '', 1, 0, 0, 0, NULL, '2026-11-23 23:29:53.190446', '2026-11-23 23:29:53.190446', 1);
INSERT INTO public.provider VALUES ('model-provider-bJzaweBYDZakWPDT', 'team.x', 'full.one', NULL, 'with all that a provider may have', 'https://models.example/v1', 'key', '["gpt-*"]', '{"x-default": "1"}', NULL, NULL, '{"seed": 7}', NULL, '{"connect_timeout_s": null, "first_byte_timeout_s": null, "idle_timeout_s": null, "total_timeout_s": null, "max_concurrency": 7, "max_queue_s": null, "ca_secret_name": null}', NULL, NULL, 'CREATED', '', 1, 0, 0, 0, NULL, '2026-11-23 23:29:53.576576', '2026-11-23 23:29:53.576576', 3);
INSERT INTO public.provider VALUES ('model-provider-rNBRbcajIBNbU5gh', 'default', 'bare', NULL, NULL, 'https://other.example', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'CREATED', '', 2, 1795476598.771177, 0, 0, NULL, '2026-11-23 23:29:53.678723', '2026-11-23 23:29:53.771177', 5);


--
-- Data for Name: revision; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.revision VALUES (1, 9, '9e359cc2fde2ac6d0b59ba45bab9260d', 0);


--
-- Data for Name: served_model; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.served_model VALUES ('model-provider-rNBRbcajIBNbU5gh', 'gpt-4', 'default', 'gpt-4', false);


--
-- Data for Name: virtual_model; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.virtual_model VALUES ('virtual-model-8a3Fq9I10kaQj7t9', 'default', 'gpt-4', NULL, 'default/gpt-4', '[{"model": "default/gpt-4"}]', NULL, NULL, NULL, NULL, NULL, true, NULL, NULL, '2026-11-23 23:29:53.78561', '2026-11-23 23:29:53.78561', 5);
INSERT INTO public.virtual_model VALUES ('virtual-model-HBTSb2uQB0wZp2C1', 'default', 'gpt-*', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false, NULL, NULL, '2026-11-23 23:29:54.028882', '2026-11-23 23:29:54.028882', 7);


--
-- Data for Name: workspace; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.workspace VALUES ('workspace-xmaEcbOBIHRpsF5p', 'default', NULL, '2026-11-23 23:29:53.151074', NULL, '2026-11-23 23:29:53.151074', NULL, 1);
INSERT INTO public.workspace VALUES ('workspace-ortijXY4KdemH4gb', 'system', NULL, '2026-11-23 23:29:53.189685', NULL, '2026-11-23 23:29:53.189685', NULL, 1);
INSERT INTO public.workspace VALUES ('workspace-4ppXcDakmaBJoafk', 'team.x', 'with a dot in its name', '2026-11-23 23:29:53.410012', NULL, '2026-11-23 23:29:53.410012', NULL, 2);


--
-- Name: outbox_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.outbox_id_seq', 13, true);


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
-- Name: model model_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.model
    ADD CONSTRAINT model_pkey PRIMARY KEY (id);


--
-- Name: outbox outbox_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_pkey PRIMARY KEY (id);


--
-- Name: provider provider_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.provider
    ADD CONSTRAINT provider_pkey PRIMARY KEY (id);


--
-- Name: revision revision_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.revision
    ADD CONSTRAINT revision_pkey PRIMARY KEY (id);


--
-- Name: served_model served_model_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.served_model
    ADD CONSTRAINT served_model_pkey PRIMARY KEY (provider_id, served_id);


--
-- Name: model uq_model_workspace_name; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.model
    ADD CONSTRAINT uq_model_workspace_name UNIQUE (workspace, name);


--
-- Name: provider uq_provider_workspace_name; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.provider
    ADD CONSTRAINT uq_provider_workspace_name UNIQUE (workspace, name);


--
-- Name: virtual_model uq_virtual_model_workspace_name; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.virtual_model
    ADD CONSTRAINT uq_virtual_model_workspace_name UNIQUE (workspace, name);


--
-- Name: virtual_model virtual_model_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.virtual_model
    ADD CONSTRAINT virtual_model_pkey PRIMARY KEY (id);


--
-- Name: workspace workspace_name_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.workspace
    ADD CONSTRAINT workspace_name_key UNIQUE (name);


--
-- Name: workspace workspace_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.workspace
    ADD CONSTRAINT workspace_pkey PRIMARY KEY (id);


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
-- Name: ix_provider_next_probe_at; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_provider_next_probe_at ON public.provider USING btree (next_probe_at);


--
-- Name: ix_provider_secret; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_provider_secret ON public.provider USING btree (workspace, api_key_secret_name);


--
-- Name: ix_served_model_entity; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_served_model_entity ON public.served_model USING btree (workspace, entity);


--
-- Name: model model_workspace_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.model
    ADD CONSTRAINT model_workspace_fkey FOREIGN KEY (workspace) REFERENCES public.workspace(name) ON DELETE CASCADE;


--
-- Name: provider provider_workspace_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.provider
    ADD CONSTRAINT provider_workspace_fkey FOREIGN KEY (workspace) REFERENCES public.workspace(name) ON DELETE CASCADE;


--
-- Name: served_model served_model_provider_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.served_model
    ADD CONSTRAINT served_model_provider_id_fkey FOREIGN KEY (provider_id) REFERENCES public.provider(id) ON DELETE CASCADE;


--
-- Name: virtual_model virtual_model_workspace_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.virtual_model
    ADD CONSTRAINT virtual_model_workspace_fkey FOREIGN KEY (workspace) REFERENCES public.workspace(name) ON DELETE CASCADE;


--
-- PostgreSQL database dump complete
--

\unrestrict afVIrNjNYHA0HjC61jx75IcckoN4GQ2swhCJaIMAe2CEhTqRxRk1lvx7NasdnKG

