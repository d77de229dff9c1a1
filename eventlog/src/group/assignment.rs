//! Who owns which partition: sticky, balanced per topic, cooperative. Pure: values in, values out, no clock.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use super::MemberId;
use crate::{PartitionId, TopicPartition};

/// One hand over of partitions by one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Episode(pub u64);

/// Something a member has not been told yet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    Assigned(Vec<TopicPartition>),
    Revoked(Vec<TopicPartition>, Episode),
    Lost(Vec<TopicPartition>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Held(MemberId),
    Leaving(MemberId, Episode),
}

#[derive(Debug)]
struct Member {
    topics: BTreeSet<Arc<str>>,
    notices: VecDeque<Notice>,
    /// What the member believes it owns: told as assigned, and not yet told as gone.
    told: BTreeSet<TopicPartition>,
    /// False between an expulsion and the moment the member has heard of it.
    present: bool,
}

/// Members, owners and committed offsets of one group.
#[derive(Debug, Default)]
pub(crate) struct Group {
    members: BTreeMap<MemberId, Member>,
    owners: BTreeMap<TopicPartition, Owner>,
    pins: BTreeMap<TopicPartition, Option<MemberId>>,
    committed: BTreeMap<TopicPartition, u64>,
    member_count: u64,
    episode_count: u64,
}

impl Group {
    pub(crate) fn join(&mut self, topics: impl IntoIterator<Item = Arc<str>>) -> MemberId {
        let member = MemberId(self.member_count);
        self.member_count += 1;
        let topics = topics.into_iter().collect();
        self.members.insert(
            member,
            Member {
                topics,
                notices: VecDeque::new(),
                told: BTreeSet::new(),
                present: true,
            },
        );
        member
    }

    pub(crate) fn leave(&mut self, member: MemberId) {
        self.members.remove(&member);
        self.owners.retain(|_, owner| owner.member() != member);
    }

    /// Takes everything from a member, as when its session expires. It may own again once it has heard.
    pub(crate) fn expel(&mut self, member: MemberId) {
        let Some(state) = self.members.get_mut(&member) else {
            return;
        };
        self.owners.retain(|_, owner| owner.member() != member);
        state.present = false;
        state.notices.clear();
        let told = std::mem::take(&mut state.told);
        state.notices.push_back(Notice::Lost(told.into_iter().collect()));
    }

    /// Binds a partition to one member, to nobody (`Some(None)`), or leaves it to the balance (`None`).
    pub(crate) fn pin(&mut self, topic_partition: TopicPartition, pin: Option<Option<MemberId>>) {
        match pin {
            Some(pin) => self.pins.insert(topic_partition, pin),
            None => self.pins.remove(&topic_partition),
        };
    }

    pub(crate) fn owns(&self, member: MemberId, topic_partition: &TopicPartition) -> bool {
        self.owners
            .get(topic_partition)
            .is_some_and(|owner| owner.member() == member)
    }

    pub(crate) fn holds(&self, member: MemberId, topic_partition: &TopicPartition) -> bool {
        self.owners.get(topic_partition) == Some(&Owner::Held(member))
    }

    pub(crate) fn committed(&self, topic_partition: &TopicPartition) -> Option<u64> {
        self.committed.get(topic_partition).copied()
    }

    pub(crate) fn set_committed(&mut self, topic_partition: TopicPartition, offset: u64) {
        self.committed.insert(topic_partition, offset);
    }

    /// True when retention must not outrun this group on the topic: someone reads it, or has read it.
    pub(crate) fn follows(&self, topic: &str) -> bool {
        self.members.values().any(|member| member.topics.contains(topic))
            || self.committed.keys().any(|place| &*place.topic == topic)
    }

    /// Ends a hand over; false when it ended before.
    pub(crate) fn release(&mut self, episode: Episode) -> bool {
        let before = self.owners.len();
        self.owners
            .retain(|_, owner| !matches!(owner, Owner::Leaving(_, leaving) if *leaving == episode));
        before != self.owners.len()
    }

    /// The next thing the member must hear.
    pub(crate) fn next_notice(&mut self, member: MemberId) -> Option<Notice> {
        let state = self.members.get_mut(&member)?;
        let notice = state.notices.pop_front()?;
        match &notice {
            Notice::Assigned(partitions) => state.told.extend(partitions.iter().cloned()),
            Notice::Revoked(partitions, _) | Notice::Lost(partitions) => {
                for partition in partitions {
                    state.told.remove(partition);
                }
            }
        }
        if let Notice::Revoked(partitions, episode) = &notice {
            let in_time = partitions
                .iter()
                .all(|place| self.owners.get(place) == Some(&Owner::Leaving(member, *episode)));
            if !in_time {
                return Some(Notice::Lost(partitions.clone()));
            }
        }
        if matches!(notice, Notice::Lost(_)) {
            state.present = true;
        }
        Some(notice)
    }

    /// Moves as few partitions as balance needs. Returns the hand overs that begin.
    pub(crate) fn rebalance(&mut self, partitions: &BTreeMap<Arc<str>, u16>) -> Vec<Episode> {
        let mut assigned = BTreeMap::<MemberId, Vec<TopicPartition>>::new();
        let mut revoked = BTreeMap::<MemberId, Vec<TopicPartition>>::new();
        for (place, target) in self.targets(partitions) {
            match (self.owners.get(&place), target) {
                (Some(Owner::Held(owner)), target) if Some(*owner) != target => {
                    revoked.entry(*owner).or_default().push(place);
                }
                (None, Some(target)) => {
                    self.owners.insert(place.clone(), Owner::Held(target));
                    assigned.entry(target).or_default().push(place);
                }
                // It stays where it is, or waits for its former owner, or nobody may have it.
                (Some(Owner::Held(_) | Owner::Leaving(..)), _) | (None, None) => {}
            }
        }
        let mut episodes = Vec::new();
        for (member, places) in revoked {
            let episode = Episode(self.episode_count);
            self.episode_count += 1;
            for place in &places {
                self.owners.insert(place.clone(), Owner::Leaving(member, episode));
            }
            self.notify(member, Notice::Revoked(places, episode));
            episodes.push(episode);
        }
        for (member, places) in assigned {
            self.notify(member, Notice::Assigned(places));
        }
        episodes
    }

    fn notify(&mut self, member: MemberId, notice: Notice) {
        let state = self
            .members
            .get_mut(&member)
            .expect("owners are members: leaving removes both");
        state.notices.push_back(notice);
    }

    /// Who should own each partition.
    fn targets(&self, partitions: &BTreeMap<Arc<str>, u16>) -> BTreeMap<TopicPartition, Option<MemberId>> {
        let mut targets = BTreeMap::new();
        let mut totals = BTreeMap::<MemberId, usize>::new();
        for (topic, count) in partitions {
            let eligible: Vec<MemberId> = self
                .members
                .iter()
                .filter(|(_, member)| member.present && member.topics.contains(topic))
                .map(|(id, _)| *id)
                .collect();
            let places = (0..*count).map(|partition| TopicPartition {
                topic: topic.clone(),
                partition: PartitionId(partition),
            });
            let mut shares: BTreeMap<MemberId, Vec<TopicPartition>> =
                eligible.iter().map(|id| (*id, Vec::new())).collect();
            let mut free = Vec::new();
            for place in places {
                let holder = match self.owners.get(&place) {
                    Some(Owner::Held(member)) => Some(*member),
                    Some(Owner::Leaving(..)) | None => None,
                };
                match (self.pins.get(&place), holder) {
                    (Some(pin), _) => {
                        let pinned = pin.filter(|member| shares.contains_key(member));
                        targets.insert(place, pinned);
                    }
                    (None, Some(holder)) if shares.contains_key(&holder) => {
                        shares.get_mut(&holder).expect("checked above").push(place);
                    }
                    (None, _) => free.push(place),
                }
            }
            balance(&mut shares, free, &totals);
            for (member, share) in shares {
                *totals.entry(member).or_default() += share.len();
                targets.extend(share.into_iter().map(|place| (place, Some(member))));
            }
        }
        targets
    }
}

/// Gives free partitions to those who have least, then takes from those who have too many.
fn balance(
    shares: &mut BTreeMap<MemberId, Vec<TopicPartition>>,
    free: Vec<TopicPartition>,
    totals: &BTreeMap<MemberId, usize>,
) {
    let total = |member: &MemberId| totals.get(member).copied().unwrap_or(0);
    let poorest = |shares: &BTreeMap<MemberId, Vec<TopicPartition>>| {
        shares
            .iter()
            .min_by_key(|(member, share)| (share.len(), total(member), **member))
            .map(|(member, share)| (*member, share.len()))
    };
    for place in free {
        let Some((member, _)) = poorest(shares) else {
            return;
        };
        shares.get_mut(&member).expect("just found").push(place);
    }
    while let Some((poor, least)) = poorest(shares) {
        let (rich, most) = shares
            .iter()
            .max_by_key(|(member, share)| (share.len(), total(member), **member))
            .map(|(member, share)| (*member, share.len()))
            .expect("one share was found");
        if most <= least + 1 {
            return;
        }
        let place = shares
            .get_mut(&rich)
            .and_then(Vec::pop)
            .expect("it has at least two more");
        shares.get_mut(&poor).expect("just found").push(place);
    }
}

impl Owner {
    fn member(self) -> MemberId {
        match self {
            Self::Held(member) | Self::Leaving(member, _) => member,
        }
    }
}
