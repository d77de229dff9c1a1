//! What clients want to hear, and the retained messages that answer a new wish.

use std::sync::Arc;

use super::{
    Broker, Ended, Handle, Now,
    session::Reply,
    topics::{FilterFault, check_filter},
};
use crate::{
    limits,
    mqtt::{
        codec::{Filter, Qos, RetainHandling, Subscribe, SubscriptionOptions, Unsubscribe, reason},
        journal::record::{Record, Target},
        message::{Delivery, Message},
    },
};

impl Broker {
    pub(super) fn take_subscribe(&mut self, handle: Handle, subscribe: Subscribe, now: Now) -> Result<(), Ended> {
        let id = handle.session;
        let mut reasons = Vec::with_capacity(subscribe.filters.len());
        let mut wanted = Vec::new();
        for filter in subscribe.filters {
            let Filter { path, options, .. } = &filter;
            let session = self.session(handle)?;
            let is_new = !session.filters.contains_key(path);
            reasons.push(match check_filter(path) {
                Err(FilterFault::Shared) => reason::SHARED_NOT_SUPPORTED,
                Err(FilterFault::Invalid) => reason::FILTER_INVALID,
                Ok(()) if is_new && session.filters.len() >= limits::MQTT_SUBSCRIPTIONS_MAX => reason::QUOTA_EXCEEDED,
                Ok(()) => {
                    session.filters.insert(path.clone(), *options);
                    let is_written = session.is_written;
                    self.subscriptions.insert(path, id, *options);
                    if is_written {
                        let record = Record::Subscribed {
                            session: id,
                            filter: path,
                            options: options.bits(),
                        };
                        self.outbox.append(&record, true);
                    }
                    match filter.retain_handling {
                        RetainHandling::Always => wanted.push((path.clone(), *options)),
                        RetainHandling::OnlyIfNew if is_new => wanted.push((path.clone(), *options)),
                        RetainHandling::OnlyIfNew | RetainHandling::Never => {}
                    }
                    options.qos as u8
                }
            });
        }
        let after = if self.session(handle)?.is_written {
            self.outbox.last_number()
        } else {
            0
        };
        let packet_id = subscribe.packet_id;
        self.reply(id, after, Reply::SubAck { packet_id, reasons });
        for (path, options) in wanted {
            self.send_retained(id, &path, options, now);
        }
        Ok(())
    }

    pub(super) fn send_retained(&mut self, id: u64, filter: &str, options: SubscriptionOptions, now: Now) {
        for kept in self.retained.matching(filter, now.unix_ms) {
            let qos = options.qos.min(kept.qos);
            if qos == Qos::AtMostOnce {
                let message = kept.message;
                let delivery = Delivery {
                    message,
                    qos,
                    retain: true,
                };
                self.send_at_once(id, delivery);
                continue;
            }
            let message = &kept.message;
            let (offset, expires) = (self.next_offset, message.expires_unix_ms);
            let copy = Message::new(
                offset,
                expires,
                message.topic(),
                message.properties(),
                message.payload(),
            );
            let target = Target {
                session: id,
                flags: Delivery::flags(qos, true),
            };
            self.store(Arc::new(copy), (0, 0), Box::new([target]));
        }
    }

    pub(super) fn take_unsubscribe(&mut self, handle: Handle, unsubscribe: Unsubscribe) -> Result<(), Ended> {
        let id = handle.session;
        let mut reasons = Vec::with_capacity(unsubscribe.filters.len());
        let session = self.session(handle)?;
        let is_written = session.is_written;
        for filter in unsubscribe.filters {
            if self.session(handle)?.filters.remove(&filter).is_none() {
                reasons.push(reason::NO_SUBSCRIPTION_EXISTED);
                continue;
            }
            self.subscriptions.remove(&filter, id);
            if is_written {
                let record = Record::Unsubscribed {
                    session: id,
                    filter: &filter,
                };
                self.outbox.append(&record, true);
            }
            reasons.push(reason::SUCCESS);
        }
        let after = if is_written { self.outbox.last_number() } else { 0 };
        let packet_id = unsubscribe.packet_id;
        self.reply(id, after, Reply::UnsubAck { packet_id, reasons });
        Ok(())
    }
}
