package blobs

const schema = `
create schema if not exists annals_documents;

create table if not exists annals_documents.doubts (
	client_id   uuid not null,
	document_id uuid not null,
	version_id  uuid not null,        -- zero: all of the document, which is to be deleted
	noted_at    timestamptz not null, -- the last sign of life of who does it
	primary key (client_id, document_id, version_id)
);
create index if not exists doubts_noted on annals_documents.doubts (noted_at);
comment on table annals_documents.doubts is
	'Bytes that may be in storage although the log does not have them. It is not built from the log, and cannot be: it says what the log does not know yet';

-- Nobody but the owner of the schema has any business here.
revoke all on schema annals_documents from public;
revoke all on all tables in schema annals_documents from public;`
