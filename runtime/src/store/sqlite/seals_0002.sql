-- How many values of each package of a tenant can be opened: none shall fill the share of all others.
CREATE TABLE seal_package (
    tenant INTEGER NOT NULL REFERENCES seal_tenant (id),
    publisher TEXT NOT NULL,
    package TEXT NOT NULL,
    kept INTEGER NOT NULL CHECK (kept >= 0),
    PRIMARY KEY (tenant, publisher, package)
) STRICT, WITHOUT ROWID;

INSERT INTO seal_package (tenant, publisher, package, kept)
SELECT v.tenant, v.publisher, v.package, COUNT(*)
FROM seal_value v JOIN seal_key k ON k.tenant = v.tenant AND k.purpose = 'value' AND k.version = v.key_version
WHERE k.state <> 'erased' GROUP BY v.tenant, v.publisher, v.package;
