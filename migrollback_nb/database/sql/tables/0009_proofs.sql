-- Version 0.2.0: which rollback SQL a proof has run. A checksum is that of a file, and where what undoes it lies in a
-- file of its own, or was changed by hand in the history, the checksum does not tell.

ALTER TABLE migrollback_schema.migration_proofs ADD COLUMN rollback_md5 text;
