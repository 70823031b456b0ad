//! Calls of etcd's v3 API.

use std::time::Duration;

use http::{Uri, uri::PathAndQuery};
use hyper_rustls::HttpsConnectorBuilder;
use prost::Message;
use tokio::sync::mpsc::Sender;
use tonic::{
    Request, Status,
    client::Grpc,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

use super::{
    error::EtcdError,
    proto,
    types::{HashKv, Member, MemberStatus},
};
use crate::health::{Tls, tcp};

/// A TCP connection in the cluster takes milliseconds; a machine that is off must not eat the whole deadline.
const CONNECT: Duration = Duration::from_secs(3);
/// Reads of a member's memory, and changes that a quorum has to agree to.
const CALL: Duration = Duration::from_secs(10);

/// To hash all keys of a database of several GiB.
const HASH: Duration = Duration::from_mins(5);
/// A member that sends nothing for so long hangs.
const PART: Duration = Duration::from_secs(30);
/// etcd sends parts of 32 KiB; a later one may send more.
const MAX_PART: usize = 16 << 20;

const KV: &str = "etcdserverpb.KV";
const CLUSTER: &str = "etcdserverpb.Cluster";
const MAINTENANCE: &str = "etcdserverpb.Maintenance";

/// Connections to the members of one cluster. They are made on first use, and again when they break.
#[derive(Clone)]
pub struct EtcdClient {
    channels: Vec<(String, Channel)>,
}

impl EtcdClient {
    /// A client of the members at these URLs. Needs a running tokio runtime.
    ///
    /// # Errors
    /// An endpoint that is no URL, or TLS files that cannot be used.
    pub fn new(endpoints: &[String], tls: &Tls) -> Result<Self, EtcdError> {
        let config = crate::health::client_config(tls).map_err(|error| EtcdError::Tls(error.to_string()))?;
        let mut channels = vec![];
        for endpoint in endpoints {
            let wrong = || EtcdError::Endpoint { endpoint: endpoint.clone() };
            let uri: Uri = endpoint.parse().map_err(|_| wrong())?;
            if uri.host().is_none() {
                return Err(wrong());
            }
            let connector = HttpsConnectorBuilder::new()
                .with_tls_config(config.clone())
                .https_or_http()
                .enable_http2()
                .wrap_connector(tcp(Some(CONNECT)));
            let channel = Endpoint::from(uri).connect_timeout(CONNECT).connect_with_connector_lazy(connector);
            channels.push((endpoint.clone(), channel));
        }
        if channels.is_empty() {
            return Err(EtcdError::Endpoint { endpoint: String::new() });
        }
        Ok(Self { channels })
    }

    /// The members, as the quorum knows them.
    pub async fn members(&self) -> Result<Vec<Member>, EtcdError> {
        let request = proto::MemberListRequest { linearizable: true };
        let answer: proto::MembersResponse = self.any(CLUSTER, "MemberList", request).await?;
        Ok(answer.members.into_iter().map(Member::from).collect())
    }

    /// Adds a member without a vote. It starts with the log of the others, given `--initial-cluster-state=existing`.
    pub async fn add_learner(&self, peer_url: &str) -> Result<Member, EtcdError> {
        let request = proto::MemberAddRequest { peer_urls: vec![peer_url.to_owned()], is_learner: true };
        let answer: proto::MemberAddResponse = self.any(CLUSTER, "MemberAdd", request).await?;
        let member = answer.member.ok_or_else(|| EtcdError::Rejected {
            call: "MemberAdd",
            message: "the answer names no member".into(),
        })?;
        Ok(member.into())
    }

    /// Gives a learner its vote.
    ///
    /// # Errors
    /// [`EtcdError::NotInSync`] until it has caught up.
    pub async fn promote(&self, id: u64) -> Result<(), EtcdError> {
        let request = proto::MemberIdRequest { id };
        let _: proto::MembersResponse = self.any(CLUSTER, "MemberPromote", request).await?;
        Ok(())
    }

    /// Removes a member. One that is not there is no error.
    pub async fn remove(&self, id: u64) -> Result<(), EtcdError> {
        let request = proto::MemberIdRequest { id };
        match self.any::<_, proto::MembersResponse>(CLUSTER, "MemberRemove", request).await {
            Ok(_) | Err(EtcdError::NoSuchMember) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The members, asked of the quorum by the member at one of the endpoints: when it answers, it has caught up with
    /// everything that was acknowledged before.
    pub async fn members_of(&self, endpoint: &str) -> Result<Vec<Member>, EtcdError> {
        let request = proto::MemberListRequest { linearizable: true };
        let answer: proto::MembersResponse = self.one(endpoint, CLUSTER, "MemberList", request).await?;
        Ok(answer.members.into_iter().map(Member::from).collect())
    }

    /// How many keys begin with `prefix` as of a revision, 0 for now; with the empty one, all.
    pub async fn count(&self, prefix: &str, revision: i64) -> Result<u64, EtcdError> {
        let range_end = behind(prefix);
        let key = if prefix.is_empty() { vec![0] } else { prefix.as_bytes().to_vec() };
        let request = proto::RangeRequest { key, range_end, revision, count_only: true };
        let answer: proto::RangeResponse = self.any(KV, "Range", request).await?;
        Ok(u64::try_from(answer.count).unwrap_or(0))
    }

    /// Deletes the keys that begin with `prefix`, but one.
    ///
    /// # Errors
    /// etcd cannot be asked, or takes no writes.
    pub async fn delete_beside(&self, prefix: &str, kept: &str) -> Result<(), EtcdError> {
        // The key behind a key is itself with a zero byte.
        let after = [kept.as_bytes(), &[0]].concat();
        let ranges = [(prefix.as_bytes().to_vec(), kept.as_bytes().to_vec()), (after, behind(prefix))];
        for (key, range_end) in ranges {
            let request = proto::DeleteRangeRequest { key, range_end };
            let proto::Empty {} = self.any(KV, "DeleteRange", request).await?;
        }
        Ok(())
    }

    /// Streams a snapshot of the member at one of the endpoints: its database, and the SHA-256 of it. Returns when all has
    /// been sent, or nobody receives any more.
    ///
    /// # Errors
    /// The stream broke off, or no part came for a while.
    pub async fn snapshot(&self, endpoint: &str, to: &Sender<Vec<u8>>) -> Result<(), EtcdError> {
        const CALL_NAME: &str = "Snapshot";
        let fail = |status: &Status| EtcdError::of_call(CALL_NAME, endpoint, PART, status);
        let channel = self.channel(endpoint)?;
        let late = |_| EtcdError::Timeout { call: CALL_NAME, after: PART };
        let begin = async {
            let path = PathAndQuery::from_static("/etcdserverpb.Maintenance/Snapshot");
            let mut grpc = Grpc::new(channel.clone()).max_decoding_message_size(MAX_PART);
            grpc.ready().await.map_err(|error| Status::from_error(Box::new(error)))?;
            let codec = ProstCodec::<proto::Empty, proto::SnapshotResponse>::default();
            grpc.server_streaming(Request::new(proto::Empty {}), path, codec).await
        };
        let answer =
            tokio::time::timeout(PART, begin).await.map_err(late)?.map_err(|status| fail(&status))?;
        let mut parts = answer.into_inner();
        loop {
            let part = tokio::time::timeout(PART, parts.message()).await.map_err(late)?;
            let Some(part) = part.map_err(|status| fail(&status))? else { return Ok(()) };
            if to.send(part.blob).await.is_err() {
                return Ok(());
            }
        }
    }

    /// What the member at one of the endpoints says of itself.
    pub async fn status(&self, endpoint: &str) -> Result<MemberStatus, EtcdError> {
        let answer: proto::StatusResponse =
            self.one(endpoint, MAINTENANCE, "Status", proto::Empty {}).await?;
        Ok(answer.into())
    }

    /// Begins the formal way back to the minor before: once the servers have lowered the version of their data, servers of
    /// that minor can take it over, and nothing that was written is lost. Asking again for the same is fine.
    ///
    /// <https://etcd.io/docs/v3.6/downgrades/>
    ///
    /// # Errors
    /// The cluster is not of the minor after `minor` (`3.6`).
    pub async fn downgrade(&self, minor: &str) -> Result<(), EtcdError> {
        const ENABLE: i32 = 1;
        self.ask_downgrade(ENABLE, minor).await
    }

    /// Ends the way back to the minor before: the members are free to go on again.
    ///
    /// # Errors
    /// None is under way.
    pub async fn end_downgrade(&self) -> Result<(), EtcdError> {
        const CANCEL: i32 = 2;
        self.ask_downgrade(CANCEL, "").await
    }

    async fn ask_downgrade(&self, action: i32, minor: &str) -> Result<(), EtcdError> {
        let request = proto::DowngradeRequest { action, version: minor.to_owned() };
        let _: proto::DowngradeResponse = self.any(MAINTENANCE, "Downgrade", request).await?;
        Ok(())
    }

    /// The hash of all keys of the member at one of the endpoints, at a revision; 0 for its newest.
    pub async fn hash_kv(&self, endpoint: &str, revision: i64) -> Result<HashKv, EtcdError> {
        let request = proto::HashKvRequest { revision };
        let channel = self.channel(endpoint)?;
        let answer: proto::HashKvResponse =
            send_within(HASH, endpoint, channel, MAINTENANCE, "HashKV", request).await?;
        Ok(HashKv {
            hash: answer.hash,
            compact_revision: answer.compact_revision,
            hash_revision: answer.hash_revision,
        })
    }

    /// Asks the endpoints in turn until one answers.
    async fn any<Q, R>(&self, service: &'static str, method: &'static str, request: Q) -> Result<R, EtcdError>
    where
        Q: Message + Clone + 'static,
        R: Message + Default + 'static,
    {
        let mut last = None;
        for (endpoint, channel) in &self.channels {
            match send(endpoint, channel, service, method, request.clone()).await {
                Err(error) if error.is_of_the_way() => last = Some(error),
                result => return result,
            }
        }
        let all: Vec<_> = self.channels.iter().map(|(endpoint, _)| endpoint.as_str()).collect();
        Err(match last {
            Some(EtcdError::Unreachable { message, .. }) => {
                EtcdError::Unreachable { endpoints: all.join(", "), message }
            }
            Some(error) => error,
            None => EtcdError::Endpoint { endpoint: String::new() },
        })
    }

    fn channel(&self, endpoint: &str) -> Result<&Channel, EtcdError> {
        let found = self.channels.iter().find(|(known, _)| known == endpoint);
        found.map(|(_, channel)| channel).ok_or_else(|| EtcdError::Endpoint { endpoint: endpoint.to_owned() })
    }

    /// Asks one endpoint of the client's.
    async fn one<Q, R>(
        &self,
        endpoint: &str,
        service: &'static str,
        method: &'static str,
        request: Q,
    ) -> Result<R, EtcdError>
    where
        Q: Message + 'static,
        R: Message + Default + 'static,
    {
        send(endpoint, self.channel(endpoint)?, service, method, request).await
    }
}

/// The first key behind all that begin with a prefix; of the empty one, all keys.
fn behind(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    match end.last_mut() {
        // Prefixes here are ASCII.
        Some(last) => *last = last.saturating_add(1),
        None => end.push(0),
    }
    end
}

async fn send<Q, R>(
    endpoint: &str,
    channel: &Channel,
    service: &str,
    method: &'static str,
    request: Q,
) -> Result<R, EtcdError>
where
    Q: Message + 'static,
    R: Message + Default + 'static,
{
    send_within(CALL, endpoint, channel, service, method, request).await
}

async fn send_within<Q, R>(
    limit: Duration,
    endpoint: &str,
    channel: &Channel,
    service: &str,
    method: &'static str,
    request: Q,
) -> Result<R, EtcdError>
where
    Q: Message + 'static,
    R: Message + Default + 'static,
{
    let exchange = async {
        let path = PathAndQuery::try_from(format!("/{service}/{method}"))
            .map_err(|error| Status::internal(error.to_string()))?;
        let mut request = Request::new(request);
        request.set_timeout(limit);
        let mut grpc = Grpc::new(channel.clone());
        grpc.ready().await.map_err(|error| Status::from_error(Box::new(error)))?;
        grpc.unary(request, path, ProstCodec::default()).await.map(tonic::Response::into_inner)
    };
    match tokio::time::timeout(limit, exchange).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(status)) => Err(EtcdError::of_call(method, endpoint, limit, &status)),
        Err(_) => Err(EtcdError::Timeout { call: method, after: limit }),
    }
}
