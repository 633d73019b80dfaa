-- Made by hand. Tables and columns: NVIDIA's "SQLite Export Schema Reference" (Nsight Systems export documentation),
-- StringIds, NVTX_EVENTS, ThreadNames; globalTid = (process << 24) + thread: its "Common SQLite examples", Serialized
-- process and thread identifiers; 75 creates a domain and 59 is a push/pop range: the nvtx_pushpop reports that Nsight
-- Systems ships. Names of domain and ranges: profiles recorded with --trace=python-gil, as their readers query them.
CREATE TABLE StringIds (id INTEGER PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE ThreadNames (nameId INTEGER NOT NULL, priority INTEGER, globalTid INTEGER);
CREATE TABLE NVTX_EVENTS (start INTEGER NOT NULL, end INTEGER, eventType INTEGER NOT NULL, rangeId INTEGER, category INTEGER,
    color INTEGER, text TEXT, globalTid INTEGER, endGlobalTid INTEGER, textId INTEGER REFERENCES StringIds(id),
    domainId INTEGER, uint64Value INTEGER);
INSERT INTO StringIds VALUES (1, 'Holding GIL'), (2, 'Waiting for GIL'), (3, 'python3'), (4, 'loader');
INSERT INTO ThreadNames VALUES (3, 20, (500 << 24) + 500), (4, 20, (500 << 24) + 501);
INSERT INTO NVTX_EVENTS (start, end, eventType, text, globalTid, textId, domainId) VALUES
    (10, NULL, 75, 'GIL Trace', (500 << 24) + 500, NULL, 1),
    (11, NULL, 75, 'training', (500 << 24) + 500, NULL, 2),
    (12, NULL, 75, 'training', (600 << 24) + 600, NULL, 1),
    (1000, 1300, 59, NULL, (500 << 24) + 500, 1, 1),
    (1100, 1310, 59, NULL, (500 << 24) + 501, 2, 1),
    (1310, 1400, 59, NULL, (500 << 24) + 501, 1, 1),
    (1500, 1600, 59, 'Holding GIL', (500 << 24) + 500, NULL, 1),
    (1550, NULL, 59, 'Waiting for GIL', (500 << 24) + 501, NULL, 1),
    (1200, 9000, 59, 'Holding GIL', (500 << 24) + 501, NULL, 2),
    (1200, 8000, 59, 'Holding GIL', (600 << 24) + 600, NULL, 1),
    (1200, 1900, 59, 'step 1', (500 << 24) + 500, NULL, 2);
