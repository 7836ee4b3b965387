-- All rules that any version of the store has had: they are made anew when it is brought up.

drop trigger if exists queue_inserted;
drop trigger if exists queue_updated;
drop trigger if exists purchase_inserted;
drop trigger if exists purchase_updated;
drop trigger if exists purchase_deleted;
drop trigger if exists purchase_moved;
drop trigger if exists purchase_event;
drop trigger if exists purchase_event_updated;
drop view if exists queue_fault;
drop view if exists clean_queue;
drop view if exists bought;
