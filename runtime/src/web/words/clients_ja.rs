//! What clients are, in Japanese.

use super::ClientWords;
use crate::clients::Unread;
use crate::store::ClientKind;

pub(super) const CLIENT: ClientWords = ClientWords {
    verified: "（このアドレスは確認済みです。以下は、クライアント自身がそこで示している内容です）",
    calls_itself: ("自称:「", "」（確認されていません）"),
    leads_back: ("サインイン後の戻り先: ", ""),
    named: "（このサーバーの管理者が登録した名前です）",
    registered: "（ID プロバイダーにこの名前で登録されています。どのようなクライアントかは、ここでは確認できません）",
    unread,
    changed: |day| format!("このクライアントは、あなたが{day}に許可したときから変わっています。"),
    changed_kind: |before, after| match (before, after) {
        (ClientKind::MetadataDocument, ClientKind::Registered) => {
            Some("当時クライアント自身が示していた内容を、現在は読み取れません。")
        }
        (ClientKind::Registered, ClientKind::MetadataDocument) => {
            Some("クライアント自身が示す内容を、当時は読み取れませんでした。")
        }
        (ClientKind::PreRegistered, ClientKind::MetadataDocument | ClientKind::Registered) => {
            Some("当時はこのサーバーの管理者が名前を登録していましたが、現在は登録していません。")
        }
        (ClientKind::MetadataDocument | ClientKind::Registered, ClientKind::PreRegistered) => {
            Some("現在は、このサーバーの管理者が名前を登録しています。")
        }
        (ClientKind::MetadataDocument, ClientKind::MetadataDocument)
        | (ClientKind::PreRegistered, ClientKind::PreRegistered)
        | (ClientKind::Registered, ClientKind::Registered) => None,
    },
    changed_hosts: |before, after| {
        format!("サインイン後の戻り先は、当時は {before} でしたが、現在は {after} です。")
    },
    changed_name: |before, after| {
        format!("名前は、当時は「{before}」でしたが、現在は「{after}」です。")
    },
    changed_otherwise: "クライアント自身が示す内容の、ほかの部分が変わっています。",
    went_on: "その後クライアントが変わりましたが、許可はそのまま続いています",
};

fn unread(why: Unread) -> &'static str {
    match why {
        Unread::PlainText => {
            "（アドレスが https ではないため、何も読み取っていません。どのようなクライアントかは、ここでは確認できません）"
        }
        Unread::Address => {
            "（ID が読み取りの対象となる形式のアドレスではありません。どのようなクライアントかは、ここでは確認できません）"
        }
        Unread::Off => {
            "（このサーバーは、クライアント自身が示す内容を読み取りません。どのようなクライアントかは、ここでは確認できません）"
        }
        Unread::Busy => {
            "現在、確認を求めるクライアントが多すぎるため、このクライアント自身が示す内容を読み取りませんでした。分かっているのはアドレスだけで、誰が運営しているかは確認されていません。"
        }
        Unread::Refused
        | Unread::Unproven
        | Unread::TooSlow
        | Unread::Broken
        | Unread::Missing
        | Unread::Status => {
            "アドレスから正しい応答がなかったため、このクライアント自身が示す内容を読み取れませんでした。分かっているのはアドレスだけで、誰が運営しているかは確認されていません。"
        }
        Unread::TooLarge
        | Unread::Redirect
        | Unread::NotJson
        | Unread::Duplicate
        | Unread::OtherClient
        | Unread::Malformed => {
            "このクライアントのアドレスにあるものは、クライアントを正しく説明していません。分かっているのはアドレスだけで、誰が運営しているかは確認されていません。"
        }
    }
}
