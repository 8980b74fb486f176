-- Read models, their checkpoints and the place where they are rebuilt.
--
-- A read model is versioned by its table names: a model that changes gets new tables (_v2), is built beside the old one and
-- switched. Rebuilding makes empty copies of the tables in the schema orderwright_build, fills them, drops the live ones and moves
-- the copies over, so indexes and constraints have no names here: those that PostgreSQL gives are the same in both schemas.
--
-- Advisory locks: (7303, hash of the projection's name) whoever writes its live tables; (7304, hash) whoever rebuilds it.

CREATE SCHEMA orderwright_build;

-- How far each projection is. A checkpoint changes only in the transaction that changes the projection's tables.
CREATE TABLE checkpoints (
    name text COLLATE "C" PRIMARY KEY,
    position bigint NOT NULL DEFAULT 0 CHECK (position >= 0),
    state text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'stopped')),
    stopped_at bigint,
    reason text NOT NULL DEFAULT '',
    rebuilds integer NOT NULL DEFAULT 0,
    moved_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((state = 'stopped') = (stopped_at IS NOT NULL))
) WITH (fillfactor = 50);

COMMENT ON COLUMN checkpoints.stopped_at IS 'the position of the event that the projection cannot take; it goes on by itself once it can';

-- One row an order: the status on three axes, the money, the units and one exclusive stage.
CREATE TABLE order_summary_v1 (
    order_id text COLLATE "C" PRIMARY KEY,
    customer_id text NOT NULL,
    country text NOT NULL,
    currency text NOT NULL,
    payment text COLLATE "C" NOT NULL CHECK (payment IN
        ('none', 'authorized', 'partially_paid', 'paid', 'partially_refunded', 'refunded', 'voided', 'overcharged')),
    fulfillment text COLLATE "C" NOT NULL CHECK (fulfillment IN
        ('unfulfilled', 'backordered', 'partial', 'fulfilled', 'delivered', 'cancelled')),
    holds text[] NOT NULL,
    stage text COLLATE "C" NOT NULL,
    outcome text COLLATE "C",
    risk text,
    cancelling boolean NOT NULL,
    cancel_reason text,
    failed_steps text[] NOT NULL,
    total bigint NOT NULL,
    authorized bigint NOT NULL,
    captured bigint NOT NULL,
    voided bigint NOT NULL,
    lines integer NOT NULL,
    units integer NOT NULL,
    units_cancelled integer NOT NULL,
    units_backordered integer NOT NULL,
    units_shipped integer NOT NULL,
    units_delivered integer NOT NULL,
    parcels integer NOT NULL,
    parcel_details jsonb NOT NULL,
    placed_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    placed_position bigint NOT NULL,
    position bigint NOT NULL,
    last_event text NOT NULL
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

COMMENT ON COLUMN order_summary_v1.outcome IS 'how the order was closed; NULL while it is open';
COMMENT ON COLUMN order_summary_v1.parcels IS 'fulfillments that were not stood down';

CREATE UNIQUE INDEX ON order_summary_v1 (placed_position);
CREATE INDEX ON order_summary_v1 (stage, placed_position);

-- How many orders are in each stage; belongs to the projection order_summary, so the two never disagree.
CREATE TABLE pipeline_counts_v1 (
    stage text COLLATE "C" PRIMARY KEY,
    orders bigint NOT NULL
) WITH (fillfactor = 50);

-- One row an event of an order.
CREATE TABLE order_timeline_v1 (
    order_id text COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    at timestamptz NOT NULL,
    stream text COLLATE "C" NOT NULL,
    version integer NOT NULL,
    type text COLLATE "C" NOT NULL,
    summary text NOT NULL,
    PRIMARY KEY (order_id, position)
);

-- One row a SKU at a warehouse.
CREATE TABLE stock_levels_v1 (
    warehouse text COLLATE "C" NOT NULL,
    sku text COLLATE "C" NOT NULL,
    on_hand bigint NOT NULL,
    allocated bigint NOT NULL,
    backordered bigint NOT NULL,
    available bigint NOT NULL GENERATED ALWAYS AS (on_hand - allocated - backordered) STORED,
    received bigint NOT NULL,
    shipped bigint NOT NULL,
    adjusted bigint NOT NULL,
    position bigint NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (warehouse, sku)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

CREATE INDEX ON stock_levels_v1 (sku);

-- Who waits for what: belongs to the projection stock_levels, which needs it because leaving the queue names no quantity.
CREATE TABLE stock_backorders_v1 (
    warehouse text COLLATE "C" NOT NULL,
    sku text COLLATE "C" NOT NULL,
    order_id text COLLATE "C" NOT NULL,
    quantity bigint NOT NULL,
    PRIMARY KEY (warehouse, sku, order_id)
);
