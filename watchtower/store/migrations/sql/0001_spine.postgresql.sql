-- spine, postgresql, as frozen by `python -m watchtower.store.migrations freeze`. Not to be edited by hand.

CREATE TABLE alerts (
    id TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    rule TEXT NOT NULL,
    subject TEXT NOT NULL,
    team TEXT,
    severity TEXT NOT NULL,
    labels TEXT NOT NULL,
    annotations TEXT NOT NULL,
    state TEXT NOT NULL,
    active_since BIGINT NOT NULL,
    starts_at BIGINT,
    ends_at BIGINT,
    clear_since BIGINT,
    value FLOAT,
    evidence TEXT,
    found_late BOOLEAN NOT NULL,
    historical BOOLEAN NOT NULL,
    flapping_since BIGINT,
    trouble_since BIGINT,
    rings_from BIGINT,
    updated_at BIGINT NOT NULL,
    CONSTRAINT pk_alerts PRIMARY KEY (id)
);
CREATE INDEX ix_alerts_fingerprint ON alerts (fingerprint, active_since);
CREATE INDEX ix_alerts_state ON alerts (state, starts_at);
CREATE INDEX ix_alerts_subject ON alerts (subject, state);
CREATE TABLE audit (
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    team TEXT,
    request_id TEXT,
    before TEXT,
    after TEXT,
    digest BYTEA NOT NULL,
    CONSTRAINT pk_audit PRIMARY KEY (seq)
);
CREATE INDEX ix_audit_at ON audit (at);
CREATE TABLE backtests (
    id TEXT NOT NULL,
    made_at BIGINT NOT NULL,
    made_by TEXT NOT NULL,
    rules TEXT,
    against TEXT,
    summary TEXT NOT NULL,
    report BYTEA NOT NULL,
    CONSTRAINT pk_backtests PRIMARY KEY (id)
);
CREATE INDEX ix_backtests_made_at ON backtests (made_at);
CREATE TABLE bill_imports (
    id TEXT NOT NULL,
    source TEXT NOT NULL,
    period TEXT NOT NULL,
    version INTEGER NOT NULL,
    digest TEXT NOT NULL,
    loaded_at BIGINT NOT NULL,
    rows BIGINT NOT NULL,
    scale INTEGER NOT NULL,
    currencies TEXT NOT NULL,
    metrics TEXT NOT NULL,
    covered_from BIGINT NOT NULL,
    covered_until BIGINT NOT NULL,
    inexact BOOLEAN NOT NULL,
    final BOOLEAN NOT NULL,
    dropped_tags TEXT NOT NULL,
    empty TEXT NOT NULL,
    in_force BOOLEAN NOT NULL,
    kept BOOLEAN NOT NULL,
    path TEXT,
    files TEXT NOT NULL,
    CONSTRAINT pk_bill_imports PRIMARY KEY (id),
    CONSTRAINT uq_bill_imports_source_period_version UNIQUE (source, period, version)
);
CREATE INDEX ix_bill_imports_in_force ON bill_imports (source, in_force, period);
CREATE INDEX ix_bill_imports_loaded ON bill_imports (loaded_at);
CREATE TABLE budgets (
    name TEXT NOT NULL,
    document TEXT NOT NULL,
    team TEXT,
    declared_at BIGINT NOT NULL,
    CONSTRAINT pk_budgets PRIMARY KEY (name)
);
CREATE TABLE callbacks (
    id TEXT NOT NULL,
    provider_id TEXT NOT NULL,
    notice_id TEXT NOT NULL,
    event TEXT NOT NULL,
    sequence INTEGER,
    outcome TEXT NOT NULL,
    incident_id TEXT,
    at BIGINT NOT NULL,
    CONSTRAINT pk_callbacks PRIMARY KEY (id)
);
CREATE INDEX ix_callbacks_at ON callbacks (at);
CREATE INDEX ix_callbacks_notice ON callbacks (notice_id);
CREATE INDEX ix_callbacks_provider ON callbacks (provider_id);
CREATE TABLE changes (
    id TEXT NOT NULL,
    at BIGINT NOT NULL,
    source TEXT NOT NULL,
    kind TEXT NOT NULL,
    title TEXT NOT NULL,
    commit_id TEXT,
    actor TEXT,
    url TEXT,
    environment TEXT,
    repository TEXT,
    pipelines TEXT NOT NULL,
    team TEXT,
    CONSTRAINT pk_changes PRIMARY KEY (id)
);
CREATE INDEX ix_changes_at ON changes (at);
CREATE TABLE claims (
    name TEXT NOT NULL,
    holder TEXT,
    until BIGINT,
    last_done BIGINT,
    CONSTRAINT pk_claims PRIMARY KEY (name)
);
CREATE TABLE conversations (
    group_id TEXT NOT NULL,
    destination TEXT NOT NULL,
    group_hash TEXT NOT NULL,
    ref TEXT NOT NULL,
    told_firing TEXT,
    told_resolved TEXT,
    told_causes TEXT,
    told_at BIGINT,
    tried_at BIGINT,
    redialed INTEGER,
    opened_at BIGINT NOT NULL,
    closed_at BIGINT,
    CONSTRAINT pk_conversations PRIMARY KEY (group_id, destination)
);
CREATE INDEX ix_conversations_hash ON conversations (group_hash, destination, closed_at);
CREATE TABLE cost_days (
    import_id TEXT NOT NULL,
    day INTEGER NOT NULL,
    group_id BIGINT NOT NULL,
    currency TEXT NOT NULL,
    billed_units BIGINT,
    billed_atto BIGINT,
    billed_rest BIGINT,
    effective_units BIGINT,
    effective_atto BIGINT,
    effective_rest BIGINT,
    list_units BIGINT,
    list_atto BIGINT,
    list_rest BIGINT,
    rows BIGINT NOT NULL,
    provisional BOOLEAN NOT NULL,
    CONSTRAINT pk_cost_days PRIMARY KEY (import_id, day, group_id, currency)
);
CREATE TABLE cost_groups (
    id BIGSERIAL NOT NULL,
    digest TEXT NOT NULL,
    account TEXT NOT NULL,
    service TEXT NOT NULL,
    tags TEXT NOT NULL,
    CONSTRAINT pk_cost_groups PRIMARY KEY (id),
    CONSTRAINT uq_cost_groups_digest UNIQUE (digest)
);
CREATE TABLE cost_tags (
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    group_id BIGINT NOT NULL,
    CONSTRAINT pk_cost_tags PRIMARY KEY (key, value, group_id)
);
CREATE TABLE dataset_updates (
    dataset_id TEXT NOT NULL,
    run_id TEXT NOT NULL,
    partition TEXT NOT NULL,
    job_id TEXT,
    at BIGINT,
    row_count BIGINT,
    size_bytes BIGINT,
    file_count BIGINT,
    checksum TEXT,
    facets TEXT,
    historical BOOLEAN NOT NULL,
    measured BOOLEAN NOT NULL,
    stamps TEXT NOT NULL,
    CONSTRAINT pk_dataset_updates PRIMARY KEY (dataset_id, run_id, partition)
);
CREATE INDEX ix_dataset_updates_at ON dataset_updates (dataset_id, at);
CREATE INDEX ix_dataset_updates_measured ON dataset_updates (dataset_id, at) WHERE measured;
CREATE INDEX ix_dataset_updates_run ON dataset_updates (run_id);
CREATE TABLE datasets (
    id TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    owner TEXT,
    team TEXT,
    tags TEXT,
    description TEXT,
    fields TEXT,
    versions TEXT,
    first_seen BIGINT,
    updated_at BIGINT,
    declared BOOLEAN NOT NULL,
    stamps TEXT NOT NULL,
    CONSTRAINT pk_datasets PRIMARY KEY (id)
);
CREATE INDEX ix_datasets_name ON datasets (namespace, name);
CREATE TABLE due (
    lane TEXT NOT NULL,
    subject TEXT NOT NULL,
    at BIGINT,
    version BIGINT NOT NULL,
    lease_until BIGINT,
    holder TEXT,
    rank INTEGER,
    gravity INTEGER,
    party TEXT DEFAULT 'others' NOT NULL,
    CONSTRAINT pk_due PRIMARY KEY (lane, subject)
);
CREATE INDEX ix_due_at ON due (lane, at);
CREATE INDEX ix_due_leased ON due (lane) WHERE lease_until IS NOT NULL;
CREATE INDEX ix_due_rank ON due (lane, rank, party, at) WHERE rank IS NOT NULL;
CREATE INDEX ix_due_turns ON due (lane, party, at);
CREATE TABLE facts (
    id BIGSERIAL NOT NULL,
    minute BIGINT NOT NULL,
    digest BYTEA NOT NULL,
    source TEXT NOT NULL,
    kind TEXT NOT NULL,
    event_time BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    historical BOOLEAN NOT NULL,
    body BYTEA NOT NULL,
    CONSTRAINT pk_facts PRIMARY KEY (id),
    CONSTRAINT uq_facts_minute_digest UNIQUE (minute, digest)
);
CREATE TABLE flapping (
    fingerprint TEXT NOT NULL,
    since BIGINT NOT NULL,
    ends_at BIGINT NOT NULL,
    within_s FLOAT NOT NULL,
    CONSTRAINT pk_flapping PRIMARY KEY (fingerprint)
);
CREATE TABLE group_alerts (
    group_id TEXT NOT NULL,
    alert_id TEXT NOT NULL,
    joined_at BIGINT NOT NULL,
    counts_from BIGINT,
    left_at BIGINT,
    CONSTRAINT pk_group_alerts PRIMARY KEY (group_id, alert_id)
);
CREATE INDEX ix_group_alerts_alert ON group_alerts (alert_id);
CREATE TABLE groups (
    id TEXT NOT NULL,
    group_key TEXT NOT NULL,
    group_hash TEXT NOT NULL,
    receiver TEXT NOT NULL,
    labels TEXT NOT NULL,
    incident_id TEXT,
    plan TEXT NOT NULL,
    opened_at BIGINT NOT NULL,
    closed_at BIGINT,
    last_flush_at BIGINT,
    restored BOOLEAN,
    CONSTRAINT pk_groups PRIMARY KEY (id)
);
CREATE INDEX ix_groups_incident ON groups (incident_id);
CREATE UNIQUE INDEX uq_groups_open ON groups (group_key, receiver) WHERE closed_at IS NULL;
CREATE TABLE incident_events (
    id BIGSERIAL NOT NULL,
    incident_id TEXT NOT NULL,
    at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    actor TEXT,
    text TEXT NOT NULL,
    CONSTRAINT pk_incident_events PRIMARY KEY (id)
);
CREATE INDEX ix_incident_events_incident ON incident_events (incident_id, at);
CREATE TABLE incidents (
    id TEXT NOT NULL,
    incident_key TEXT NOT NULL,
    team TEXT,
    status TEXT NOT NULL,
    severity TEXT NOT NULL,
    title TEXT NOT NULL,
    summary TEXT NOT NULL,
    labels TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    acknowledged_at BIGINT,
    acknowledged_by TEXT,
    ack_until BIGINT,
    unacknowledged_at BIGINT,
    past_acks TEXT,
    resolved_at BIGINT,
    CONSTRAINT pk_incidents PRIMARY KEY (id)
);
CREATE INDEX ix_incidents_started ON incidents (started_at);
CREATE UNIQUE INDEX uq_incidents_open ON incidents (incident_key) WHERE resolved_at IS NULL;
CREATE TABLE job_datasets (
    job_id TEXT NOT NULL,
    dataset_id TEXT NOT NULL,
    direction TEXT NOT NULL,
    last_at BIGINT NOT NULL,
    CONSTRAINT pk_job_datasets PRIMARY KEY (job_id, dataset_id, direction)
);
CREATE INDEX ix_job_datasets_dataset ON job_datasets (dataset_id, direction);
CREATE TABLE jobs (
    id TEXT NOT NULL,
    source TEXT NOT NULL,
    namespace TEXT NOT NULL,
    pipeline TEXT NOT NULL,
    task TEXT,
    owner TEXT,
    team TEXT,
    tags TEXT,
    description TEXT,
    job_type TEXT,
    integration TEXT,
    schedule TEXT,
    timezone TEXT,
    external_url TEXT,
    upstream_tasks TEXT,
    paused BOOLEAN,
    paused_at BIGINT,
    first_seen BIGINT,
    last_seen BIGINT,
    declared BOOLEAN NOT NULL,
    stamps TEXT NOT NULL,
    CONSTRAINT pk_jobs PRIMARY KEY (id)
);
CREATE INDEX ix_jobs_first_seen ON jobs (first_seen) WHERE task IS NULL;
CREATE INDEX ix_jobs_name ON jobs (namespace, pipeline, task);
CREATE INDEX ix_jobs_pipeline ON jobs (pipeline);
CREATE TABLE links (
    digest BYTEA NOT NULL,
    person_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    CONSTRAINT pk_links PRIMARY KEY (digest)
);
CREATE TABLE meta (
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    CONSTRAINT pk_meta PRIMARY KEY (key)
);
CREATE TABLE migrations (
    number INTEGER NOT NULL,
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    applied_at BIGINT NOT NULL,
    CONSTRAINT pk_migrations PRIMARY KEY (number)
);
CREATE TABLE notices (
    id TEXT NOT NULL,
    group_id TEXT NOT NULL,
    group_hash TEXT NOT NULL,
    destination TEXT NOT NULL,
    position BIGINT NOT NULL,
    receiver TEXT NOT NULL,
    person TEXT,
    rides TEXT,
    seq INTEGER NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    key TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    first_attempt_at BIGINT,
    attempted_at BIGINT,
    not_before BIGINT,
    lease_until BIGINT,
    outcome_unknown BOOLEAN NOT NULL,
    unknowns INTEGER NOT NULL,
    frozen BOOLEAN NOT NULL,
    look_first BOOLEAN,
    fence BIGINT NOT NULL,
    content TEXT,
    provider_id TEXT,
    duplicates INTEGER NOT NULL,
    error_reason TEXT,
    error TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT pk_notices PRIMARY KEY (id),
    CONSTRAINT uq_notices_group_id_destination_seq UNIQUE (group_id, destination, seq),
    CONSTRAINT uq_notices_key UNIQUE (key)
);
CREATE INDEX ix_notices_lately ON notices (person, attempted_at);
CREATE INDEX ix_notices_person ON notices (person, first_attempt_at);
CREATE INDEX ix_notices_position ON notices (group_hash, destination, position);
CREATE INDEX ix_notices_rides ON notices (rides) WHERE rides IS NOT NULL;
CREATE INDEX ix_notices_state ON notices (state, created_at);
CREATE TABLE obligations (
    id TEXT NOT NULL,
    group_id TEXT NOT NULL,
    destination TEXT NOT NULL,
    alert_id TEXT NOT NULL,
    transition TEXT NOT NULL,
    occasion INTEGER NOT NULL,
    state TEXT NOT NULL,
    notice_id TEXT,
    provider_id TEXT,
    attempts INTEGER NOT NULL,
    reason TEXT,
    suppressed_by TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT pk_obligations PRIMARY KEY (id)
);
CREATE INDEX ix_obligations_alert ON obligations (alert_id);
CREATE INDEX ix_obligations_created ON obligations (created_at, id);
CREATE INDEX ix_obligations_group ON obligations (group_id, destination, state);
CREATE INDEX ix_obligations_notice ON obligations (notice_id);
CREATE INDEX ix_obligations_state ON obligations (state, created_at);
CREATE INDEX ix_obligations_suppressed_by ON obligations (suppressed_by);
CREATE TABLE operation_hours (
    operation_id TEXT NOT NULL,
    hour INTEGER NOT NULL,
    calls BIGINT NOT NULL,
    errors BIGINT NOT NULL,
    total_us BIGINT NOT NULL,
    durations BYTEA NOT NULL,
    CONSTRAINT pk_operation_hours PRIMARY KEY (operation_id, hour)
);
CREATE INDEX ix_operation_hours_hour ON operation_hours (hour);
CREATE TABLE operations (
    id TEXT NOT NULL,
    service TEXT NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    first_seen BIGINT NOT NULL,
    CONSTRAINT pk_operations PRIMARY KEY (id)
);
CREATE INDEX ix_operations_name ON operations (service, name);
CREATE TABLE people (
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    team TEXT,
    created_at BIGINT NOT NULL,
    removed_at BIGINT,
    CONSTRAINT pk_people PRIMARY KEY (id)
);
CREATE TABLE quarantine (
    id BIGSERIAL NOT NULL,
    collector TEXT NOT NULL,
    source TEXT,
    reason TEXT NOT NULL,
    message TEXT NOT NULL,
    received_at BIGINT NOT NULL,
    digest BYTEA NOT NULL,
    attempts INTEGER NOT NULL,
    body BYTEA NOT NULL,
    CONSTRAINT pk_quarantine PRIMARY KEY (id),
    CONSTRAINT uq_quarantine_digest UNIQUE (digest)
);
CREATE TABLE run_aliases (
    alias TEXT NOT NULL,
    run_id TEXT NOT NULL,
    CONSTRAINT pk_run_aliases PRIMARY KEY (alias)
);
CREATE INDEX ix_run_aliases_run ON run_aliases (run_id);
CREATE TABLE runs (
    id TEXT NOT NULL,
    job_id TEXT NOT NULL,
    source TEXT NOT NULL,
    namespace TEXT NOT NULL,
    pipeline TEXT NOT NULL,
    task TEXT,
    parent_run_id TEXT,
    root_run_id TEXT,
    state TEXT NOT NULL,
    event_type TEXT NOT NULL,
    final BOOLEAN,
    native_run_id TEXT,
    generation INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    max_attempts INTEGER,
    map_index INTEGER,
    trigger TEXT,
    actor TEXT,
    environment TEXT,
    code_version TEXT,
    nominal_start BIGINT,
    nominal_end BIGINT,
    queued_at BIGINT,
    started_at BIGINT,
    ended_at BIGINT,
    wall_s FLOAT,
    error TEXT,
    external_url TEXT,
    trace_id TEXT,
    ol_run_id TEXT,
    tags TEXT,
    task_states TEXT,
    output TEXT,
    first_seen BIGINT NOT NULL,
    last_event_at BIGINT NOT NULL,
    position BIGINT NOT NULL,
    historical BOOLEAN NOT NULL,
    origins TEXT,
    words TEXT,
    stamps TEXT NOT NULL,
    CONSTRAINT pk_runs PRIMARY KEY (id)
);
CREATE INDEX ix_runs_job ON runs (job_id, position, id, state, trigger, historical, nominal_start, nominal_end, started_at, ended_at, first_seen, queued_at);
CREATE INDEX ix_runs_native ON runs (native_run_id) WHERE native_run_id IS NOT NULL AND task IS NULL;
CREATE INDEX ix_runs_parent ON runs (parent_run_id) WHERE parent_run_id IS NOT NULL;
CREATE INDEX ix_runs_position ON runs (position);
CREATE INDEX ix_runs_state ON runs (state, job_id, position, id) WHERE state <> 'succeeded';
CREATE INDEX ix_runs_trace ON runs (trace_id) WHERE trace_id IS NOT NULL;
CREATE TABLE samples (
    series_id TEXT NOT NULL,
    at BIGINT NOT NULL,
    value FLOAT NOT NULL,
    start BIGINT,
    run TEXT,
    stats TEXT,
    historical BOOLEAN NOT NULL,
    CONSTRAINT pk_samples PRIMARY KEY (series_id, at)
);
CREATE INDEX ix_samples_at ON samples (at);
CREATE TABLE sender_days (
    sender TEXT NOT NULL,
    day INTEGER NOT NULL,
    first BIGINT NOT NULL,
    last BIGINT NOT NULL,
    longest BIGINT NOT NULL,
    CONSTRAINT pk_sender_days PRIMARY KEY (sender, day)
);
CREATE TABLE senders (
    id TEXT NOT NULL,
    source TEXT NOT NULL,
    namespace TEXT NOT NULL,
    team TEXT,
    last_event BIGINT NOT NULL,
    lag_s FLOAT NOT NULL,
    awaited_since BIGINT,
    CONSTRAINT pk_senders PRIMARY KEY (id)
);
CREATE TABLE series (
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    job_id TEXT,
    job_source TEXT,
    namespace TEXT,
    pipeline TEXT,
    task TEXT,
    labels TEXT NOT NULL,
    source TEXT NOT NULL,
    kind TEXT NOT NULL,
    unit TEXT,
    unit_at BIGINT,
    is_delta BOOLEAN NOT NULL,
    team TEXT,
    first_seen BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    CONSTRAINT pk_series PRIMARY KEY (id)
);
CREATE INDEX ix_series_job ON series (job_id);
CREATE INDEX ix_series_name ON series (name, id);
CREATE TABLE sessions (
    digest BYTEA NOT NULL,
    person_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT,
    CONSTRAINT pk_sessions PRIMARY KEY (digest)
);
CREATE INDEX ix_sessions_person ON sessions (person_id);
CREATE TABLE silences (
    id TEXT NOT NULL,
    matchers TEXT NOT NULL,
    starts_at BIGINT NOT NULL,
    ends_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    comment TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT pk_silences PRIMARY KEY (id)
);
CREATE INDEX ix_silences_ends ON silences (ends_at);
CREATE TABLE sketches (
    subject TEXT NOT NULL,
    metric TEXT NOT NULL,
    day INTEGER NOT NULL,
    count BIGINT NOT NULL,
    body BYTEA NOT NULL,
    CONSTRAINT pk_sketches PRIMARY KEY (subject, metric, day)
);
CREATE TABLE slo_corrections (
    id BIGSERIAL NOT NULL,
    slo TEXT NOT NULL,
    start BIGINT NOT NULL,
    "end" BIGINT NOT NULL,
    reason TEXT NOT NULL,
    author TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    planned BOOLEAN NOT NULL,
    CONSTRAINT pk_slo_corrections PRIMARY KEY (id)
);
CREATE INDEX ix_slo_corrections_slo ON slo_corrections (slo);
CREATE TABLE slo_counts (
    slo TEXT NOT NULL,
    part INTEGER NOT NULL,
    day INTEGER NOT NULL,
    good BIGINT NOT NULL,
    bad BIGINT NOT NULL,
    body BYTEA NOT NULL,
    CONSTRAINT pk_slo_counts PRIMARY KEY (slo, part, day)
);
CREATE TABLE slos (
    name TEXT NOT NULL,
    document TEXT NOT NULL,
    counted TEXT NOT NULL,
    team TEXT,
    declared_at BIGINT NOT NULL,
    CONSTRAINT pk_slos PRIMARY KEY (name)
);
CREATE TABLE sources (
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    namespace TEXT NOT NULL,
    every_s FLOAT NOT NULL,
    pushes BOOLEAN NOT NULL,
    declared_at BIGINT,
    team TEXT,
    mark BIGINT,
    cursor TEXT,
    last_poll BIGINT,
    last_success BIGINT,
    last_event BIGINT,
    failures INTEGER NOT NULL,
    failing_since BIGINT,
    error TEXT,
    retry_at BIGINT,
    recent TEXT NOT NULL,
    seconds FLOAT,
    records INTEGER NOT NULL,
    problems TEXT NOT NULL,
    coverage TEXT NOT NULL,
    CONSTRAINT pk_sources PRIMARY KEY (name)
);
CREATE TABLE span_batches (
    id BIGSERIAL NOT NULL,
    source TEXT,
    received_at BIGINT NOT NULL,
    spans INTEGER NOT NULL,
    walked INTEGER NOT NULL,
    body BYTEA NOT NULL,
    CONSTRAINT pk_span_batches PRIMARY KEY (id)
);
CREATE TABLE spans (
    trace_id BYTEA NOT NULL,
    span_id BYTEA NOT NULL,
    started_at BIGINT NOT NULL,
    parent_span_id BYTEA,
    operation_id TEXT NOT NULL,
    name TEXT NOT NULL,
    task TEXT NOT NULL,
    duration_us BIGINT NOT NULL,
    is_error BOOLEAN NOT NULL,
    message TEXT NOT NULL,
    attributes TEXT NOT NULL,
    CONSTRAINT pk_spans PRIMARY KEY (trace_id, span_id, started_at)
);
CREATE TABLE tokens (
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    digest BYTEA NOT NULL,
    scopes TEXT NOT NULL,
    source TEXT,
    team TEXT,
    check_name TEXT,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    last_used_at BIGINT,
    CONSTRAINT pk_tokens PRIMARY KEY (id)
);
CREATE TABLE trace_operations (
    trace_id BYTEA NOT NULL,
    operation_id TEXT NOT NULL,
    task TEXT NOT NULL,
    calls BIGINT NOT NULL,
    errors BIGINT NOT NULL,
    own_errors BIGINT NOT NULL,
    total_us BIGINT NOT NULL,
    own_us BIGINT NOT NULL,
    durations BYTEA NOT NULL,
    message TEXT NOT NULL,
    slowest_span BYTEA NOT NULL,
    slowest_us BIGINT NOT NULL,
    CONSTRAINT pk_trace_operations PRIMARY KEY (trace_id, operation_id, task)
);
CREATE TABLE traces (
    trace_id BYTEA NOT NULL,
    run_id TEXT,
    job_id TEXT,
    source TEXT,
    claim TEXT,
    join_at BIGINT,
    first_at BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    spans BIGINT NOT NULL,
    tallied BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    kept TEXT,
    CONSTRAINT pk_traces PRIMARY KEY (trace_id)
);
CREATE INDEX ix_traces_job ON traces (job_id);
CREATE INDEX ix_traces_join ON traces (join_at) WHERE join_at IS NOT NULL;
CREATE INDEX ix_traces_run ON traces (run_id);
CREATE INDEX ix_traces_seen ON traces (kept, seen_at);
CREATE INDEX ix_traces_untallied ON traces (seen_at) WHERE tallied != spans;
CREATE TABLE transitions (
    id BIGSERIAL NOT NULL,
    alert_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    at BIGINT NOT NULL,
    value FLOAT,
    evidence TEXT,
    CONSTRAINT pk_transitions PRIMARY KEY (id),
    CONSTRAINT uq_transitions_alert_id_kind_at UNIQUE (alert_id, kind, at)
);
CREATE TABLE troubles (
    source TEXT NOT NULL,
    key TEXT NOT NULL,
    since BIGINT NOT NULL,
    until BIGINT,
    summary TEXT NOT NULL,
    concerns TEXT NOT NULL,
    CONSTRAINT pk_troubles PRIMARY KEY (source, key, since)
);
CREATE INDEX ix_troubles_since ON troubles (since);
