-- Version 2 -> 3: a quicker check of what a queue is. The tables are the same; triggers.sql comes next.

drop trigger if exists queue_inserted;
drop trigger if exists queue_updated;
drop trigger if exists purchase_inserted;
drop trigger if exists purchase_updated;
drop trigger if exists purchase_deleted;
drop trigger if exists purchase_moved;
drop trigger if exists purchase_event;
drop trigger if exists purchase_event_updated;
drop view if exists queue_fault;
drop view if exists bought;
