//! Japanese.

use time::format_description::StaticFormatDescription;
use time::macros::format_description;

use super::super::dates::written;
use super::super::standing::{Happened, Standing, Suspension};
use super::super::text::Deceptive;
use super::clients_ja::CLIENT;
use super::notices_ja::{NOTICES, WAYS};
use super::{
    ChangedWords, ConsentsWords, DecidedWords, Frame, HistoryWords, IdpWords, Meanings, Name,
    QuestionWords, Words,
};
use crate::capability::{Access, Capability, Files, HostSelector, Http, Kv};
use crate::clock::Timestamp;
use crate::store::Scope;

const DAY: StaticFormatDescription =
    format_description!("[year]年[month padding:none]月[day padding:none]日");
const MOMENT: StaticFormatDescription = format_description!(
    "[year]年[month padding:none]月[day padding:none]日 [hour]:[minute]（UTC）"
);

/// Every text in Japanese.
pub(crate) static JA: Words = Words {
    tag: "ja",
    day,
    moment,
    sentence,
    standing,
    frame: Frame {
        signed_in_as: ("", " としてサインイン中"),
        nav: "あなたのページ",
        my_consents: "許可の一覧",
        history: "履歴",
        sign_out: "サインアウト",
        sign_out_everywhere: "すべてのブラウザーからサインアウト",
    },
    question: QuestionWords {
        title: ("「", "」に次のことを許可しますか？"),
        intro: "クライアントが、あなたのためにこのツールを呼び出しました。下に挙げたことは、あなたが許可しない限り行われません。",
        intro_within: "別のツールが、あなたのためにこのツールを呼び出しました。下に挙げたことは、あなたが許可しない限り行われません。",
        beware_t2: "この中には、データを変更・削除したり、外部に送信したりするものがあります。該当する項目に印を付けています。",
        beware_t3: "この中には、取り返しのつかない結果を招くおそれのあるものがあります。該当する項目に印を付けています。",
        beware_opens: "この中には、これまで隠されていたデータをツールに読ませるものがあります。該当する項目に印を付けています。",
        you: "あなた",
        at_issuer: ("（", " のアカウント）"),
        client: "クライアント",
        tool: "ツール",
        called_by: "呼び出し元",
        called_by_note: "（クライアントが呼び出した別のツールで、このツールの結果を待っています）",
        version: "バージョン",
        build: "、ビルド",
        publisher: "発行元",
        publisher_unproven: "（ツール自身による表示で、確認されていません）",
        purpose: "目的（作者の説明）",
        deceptive,
        tags: ["外部への影響なし", "読み取り", "変更・送信", "1回限り"],
        caution: "注意: データを変更したり、外部に送信したりすることがあります。",
        caution_opens: "注意: これまで隠されていたデータをツールが読みます。",
        danger: "危険: 取り返しのつかない結果を招くおそれがあります。",
        needed: "必須: これがないとツールは動きません",
        optional: "任意: これがなくてもツールは動きます",
        meaning: Meanings {
            nothing: "ツールの外部には何の影響もありません。",
            reads_web: "読み取るだけです。ツールが何を問い合わせたかは、そのウェブサイトに伝わります。",
            reads_files: "読み取るだけです。何も変更されません。",
            writes_web: "そのサイトの内容を変更できます。また、ツールに渡された情報や、ほかの許可によって読み取った情報を、すべてそこへ送信できます。",
            writes_files: "そこにあるものを上書きしたり、削除したりできます。ここから元に戻すことはできません。",
            given_data: "これを許可しない限り、この種の情報がツールに渡ることはありません。含まれる呼び出しは拒否され、回答では伏せ字になります。渡された情報は、ほかに許可された書き込み先や送信先でも使われることがあります。",
            lends_secret: "ツールからこのホストへのリクエストに限り、サーバーがキーを付けて送信します。ツールは、ほかの許可の範囲内で、そのキーで可能な操作をこのホストに対して行えます。",
            signs: "ツールからこのホストへのリクエストに限り、サーバーがキーで署名して送信します。ツールは、ほかの許可の範囲内で、キーの持ち主として、そのキーで可能な操作をこのホストに対して行えます。",
            calls: "呼び出されるツールにできることは、ここで許可したことと、そのツール自体に許可したことの両方に含まれるものだけです。そのツールについては別に確認します。",
            told: "あなたについてのこの一項目だけがツールに渡ります。渡された情報は、ほかに許可された書き込み先や送信先でも使われることがあります。",
            opens: "これまでツールはデータの代わりに目印だけを持っています。許可するとデータそのものを読み、ほかに許可された書き込み先や送信先でも使うことがあります。毎回確認し、回答はこの一回だけ有効です。",
            delivers: "ツールはデータの代わりに目印だけを持ち、データは見えません。上に示した送り先には、ツールが送るほかの内容とともにデータそのものが届きます。毎回確認し、回答はこの一回だけ有効です。",
            harms: "このサーバーの管理者が、取り返しのつかない結果を招くおそれがあるとしているため、呼び出しのたびに確認します。あなたの回答は、今回の呼び出しにだけ有効です。",
            shared: "このストアはあなた専用ではありません。このサーバーの管理者の設定により、同じ組織のユーザー全員で共有されており、利用を許可された人は誰でも、そこにあるものを読み、変更できます。",
            shared_folder: "このフォルダーはあなた専用ではありません。このサーバーの管理者の設定により、同じ組織のユーザー全員で共有されており、利用を許可された人は誰でも、そこにあるものを見ることができます。",
            open_folder: "このフォルダーはあなた専用ではありません。このサーバーの管理者の設定により、ほかの組織のユーザーも含め、このサーバーのユーザー全員で共有されており、利用を許可された人は誰でも、そこにあるものを見ることができます。",
            raised: "このサーバーの管理者の設定により、通常よりも厳しく確認しています。",
        },
        why: "理由（作者の説明）:",
        exactly: "正確な範囲:",
        deny: "許可しない",
        deny_30_days: "許可せず、今後30日間は確認しない",
        once_10_minutes: "1回だけ許可する（10分以内の呼び出し1回）",
        once_5_minutes: "1回だけ許可する（5分以内の呼び出し1回）",
        session: |end| {
            format!(
                "このブラウザーでサインアウトするまで許可する（最長で{end}まで。ブラウザーを閉じても、しばらく使わなくても続きます）"
            )
        },
        proposed: "おすすめ",
        until: "次の日の終わりまで許可する",
        last_day: "許可する最後の日",
        at_most: |day, lapses| {
            let sooner = if lapses {
                "。30日間呼び出しがなければ、その時点で終了します"
            } else {
                ""
            };
            format!("最長で{day}まで{sooner}")
        },
        calls: ("呼び出しの上限", "回"),
        any_number: "上限なし",
        once_only: "1回限りです。これより長く許可することはできません。",
        arguments: "実行される呼び出しの正確な内容",
        arguments_note: "あなたの回答は、この内容の呼び出し1回にだけ有効です。目に見えない文字は ⟨U+200B⟩ のように表示しています。",
        sign_in_first: "「1回限り」の項目を許可するには、過去5分以内にサインインしている必要があります。断る場合は、このままで回答できます。",
        no_acr: "「1回限り」の項目は、ここでは許可できません。ID プロバイダーがサインインの方法（acr）を示していないためで、もう一度サインインしても変わりません。このサーバーの管理者に知らせてください。断る場合は、このままで回答できます。",
        refusal_first: "ツールに必須のことを24時間以内に2回断ると、そのツールについては24時間確認しません。これは「許可の一覧」で変更できます。",
        refusal_second: "あなたは過去24時間以内にこのツールを断っています。必須のことをもう一度断ると、このツールについては24時間確認せず、その間の呼び出しは失敗します。これは「許可の一覧」で変更できます。",
        afterwards: |closes| {
            format!(
                "許可したことは、「許可の一覧」でいつでも取り消せます。日付は UTC の午前0時に変わります。この確認には{closes}まで回答できます。"
            )
        },
        save: "この内容で決定する",
    },
    client: CLIENT,
    decided: DecidedWords {
        page: "あなたの決定",
        before: "すでに決定済みです",
        before_text: "今回送信された内容では、何も変わっていません。以前の決定は次のとおりです。",
        allowed: "決定しました: ツールは続行できます",
        refused: "決定しました: ツールは実行されません",
        refused_text: "ツールの動作に必須のことが許可されませんでした。",
        go_back: "このページを閉じて、クライアントに戻ってください。",
        call_again: "自動的に続行されない場合は、クライアントからもう一度ツールを呼び出してください。",
    },
    changed: ChangedWords {
        publisher: |day, before| {
            format!(
                "このツールの発行元は、あなたが{day}に許可したときの発行元「{before}」とは異なります。そのときの許可は、このツールには適用されません。"
            )
        },
        since: |day, version| {
            let version = version.map(|version| format!("（当時のバージョン: {version}）"));
            format!(
                "このツールは、あなたが{day}に許可したときから変更されています{}。",
                version.unwrap_or_default()
            )
        },
        needs: "必要とすることも当時とは異なります。",
        texts_unknown: "当時のツールの説明は記録に残っていません。",
        texts_same: "ツールの説明は同じですが、プログラムは別のものです。",
        texts_differ: "ツールの説明は次のように変わっています。",
        title: "名称",
        description: "説明",
        input: "受け取る内容（スキーマ）",
        output: "返す内容（スキーマ）",
        gone: "削除:",
        new: "追加:",
        cut: "このほかにも変更がありますが、ここには表示していません。",
        legend: "取り消し線は削除された部分、下線は追加された部分です。目に見えない文字は ⟨U+200B⟩ のように表示しています。",
    },
    consents: ConsentsWords {
        none: "現在、あなたの許可が必要なことを行えるツールはなく、最近断ったものもありません。ツールが何かを必要とするときに確認します。",
        intro: "あなたが決定した内容です。取り消した許可は、その瞬間から無効になります。その許可で実行中のツールは停止しますが、それまでに行われたことは元に戻りません。",
        order: "並べ方",
        by_tool: "ツール別",
        by_client: "クライアント別",
        by_publisher: ("（発行元: ", "）"),
        tool: "ツール",
        client: "クライアント",
        decided: |at| format!("決定: {at}"),
        decided_by_operator: |at| format!("このサーバーの管理者が代わりに決定: {at}"),
        last_used: |day| format!("最後の使用: {day}"),
        unused: "まだ使われていません",
        receipt: "控え",
        changed: "その後ツールが変更されましたが、許可はそのまま続いています",
        take_back: "取り消す",
        ask_again: "次回また確認する",
        take_back_tool: |n| format!("このツールの許可{n}件をすべて取り消す"),
        take_back_client: |n| format!("このクライアントの許可{n}件をすべて取り消す"),
        take_back_all: |n| format!("すべての許可{n}件を取り消す"),
        earlier: "これより前の決定",
        newest: "最新の決定",
        ended: "終了したもの",
        see_history: "決定、使用、終了の記録は、すべて「履歴」で確認できます。",
    },
    history: HistoryWords {
        intro: "あなたの決定とその後の経過を、新しい順に表示しています。時刻はすべて UTC です。",
        none: "まだ何も決定していません。",
        happened,
        operator_says: "管理者による理由:",
        earlier: "これより前の決定",
        newest: "最新の決定",
        others: "ほかの人があなたへの確認を開こうとしました",
        others_text: "別の名前でサインインしている人が、あなたへの確認ページを開こうとしました。その人には何も表示されず、何も決定できませんでした。あなたがリンクを送ったのであれば、そのためです。心当たりがなければ、あなたのクライアントの画面を誰かが見ているおそれがあるため、このサーバーの管理者に知らせてください。",
        opened: |times, last| match times {
            1 => format!("1回（{last}）"),
            _ => format!("{times}回（最後は{last}）"),
        },
    },
    notices: NOTICES,
    ways: WAYS,
    idp: IdpWords {
        title: "サインイン",
        note: |users| {
            format!(
                "これは開発用に組み込まれた ID プロバイダーです。ユーザーは {} で、パスワードはユーザー名と同じです。",
                users.join(" と ")
            )
        },
        wrong: |user| {
            format!(
                "ユーザー名とパスワードが一致しません。ユーザー名 {user}、パスワード {user} でお試しください。"
            )
        },
        user: "ユーザー名",
        password: "パスワード",
        sign_in: "サインイン",
        refused: "このサインインは続行できません",
        incomplete: "クライアントの要求が不完全です。",
        client: "このクライアントは登録されていません。",
        redirect: "リダイレクト先が登録されたものと異なります。",
        flow: "PKCE（S256）を使う認可コードフローにのみ対応しています。",
        no_code: "ID プロバイダーが認可コードを発行できませんでした。",
    },
};

fn day(at: Timestamp) -> String {
    written(at, DAY)
}

fn moment(at: Timestamp) -> String {
    written(at, MOMENT)
}

fn sentence(capability: &Capability) -> String {
    match capability {
        Capability::Http(http) => web(http),
        Capability::Files(files) => folder(files),
        Capability::Clock => "現在の時刻を見る".to_owned(),
        Capability::Progress => "作業中に進み具合を知らせる".to_owned(),
        Capability::Data(class) => {
            format!("依頼に含まれる{}を受け取り、回答に含める", class.japanese())
        }
        Capability::Ask => "実行の前に、あなたに質問する".to_owned(),
        Capability::Kv(kv) => store(kv),
        Capability::Config(key) => {
            format!("このサーバーの管理者が「{key}」として設定した値を見る")
        }
        Capability::Secret(secret) if secret.form.signs() => format!(
            "{} へのリクエストに、このサーバーの管理者の名義で、キー「{}」による署名を付ける（ツールにキーは見えません）",
            secret.at, secret.name
        ),
        Capability::Secret(secret) => format!(
            "このサーバーのキー「{}」を {} に対して使う（ツールにキーは見えません）",
            secret.name, secret.at
        ),
        Capability::Call(tool) => format!("あなたに代わってツール「{tool}」を使う"),
        Capability::Claims(claim) => claim.japanese(),
        Capability::Reveal(reveal) => {
            let place = reveal.field.as_ref();
            let place = place.map_or_else(String::new, |field| format!("（「{field}」のもの）"));
            let what = reveal.class.japanese();
            format!("暗号化して預けられた{what}{place}を、元に戻して読み、回答に含める")
        }
        Capability::Deliver(deliver) => {
            let place = deliver.what.field.as_ref();
            let place = place.map_or_else(String::new, |field| format!("（「{field}」のもの）"));
            let (what, at) = (deliver.what.class.japanese(), &deliver.at);
            format!(
                "暗号化して預けられた{what}{place}を、このサーバーから {at} へ送る（ツールには見えません）"
            )
        }
    }
}

fn store(kv: &Kv) -> String {
    let part = match kv.prefix.is_whole() {
        true => String::new(),
        false => format!("のうち、キーが「{}」で始まるもの", kv.prefix),
    };
    let what = format!("ストア「{}」に保存された内容{part}", kv.store);
    match kv.access {
        Access::Read => format!("{what}を読み取る"),
        Access::Write => format!("{what}を読み取り、追加、変更、削除する"),
    }
}

fn web(http: &Http) -> String {
    let port = http.port.map(|port| format!("ポート {port}"));
    let path = (!http.path.is_root()).then(|| format!("{} 以下", http.path));
    let part: Vec<_> = port.into_iter().chain(path).collect();
    let part = match part.as_slice() {
        [] => String::new(),
        some => format!("（{}）", some.join("、")),
    };
    let place = match &http.host {
        HostSelector::Any => "公開されているすべてのウェブサイト".to_owned(),
        HostSelector::Suffix(name) => format!("{name} 以下のすべてのウェブサイト"),
        // Between Latin letters and Japanese stands a space.
        HostSelector::Exact(name) if part.is_empty() => format!("{name} "),
        HostSelector::Exact(name) => name.to_string(),
    };
    let most = http.budget.told("リクエスト {} 回", "送信 {}", "受信 {}");
    let most = match most.is_empty() {
        true => String::new(),
        false => format!("（1 回の呼び出しで{}まで）", most.join("、")),
    };
    if http.methods.only_read() {
        format!("{place}{part}から読み取る{most}")
    } else {
        format!("{place}{part}にデータを送信し、そこから読み取る{most}")
    }
}

fn folder(files: &Files) -> String {
    let place = if files.path.is_whole() {
        format!("あなたのフォルダー「{}」", files.mount)
    } else {
        format!("あなたのフォルダー「{}」の「{}」", files.mount, files.path)
    };
    match files.access {
        Access::Read => format!("{place}にあるファイルを読み取る"),
        Access::Write => format!("{place}にあるファイルを読み取り、作成、変更、削除する"),
    }
}

fn deceptive(name: Name, why: Deceptive) -> &'static str {
    match (name, why) {
        (Name::Title, Deceptive::Hidden) => {
            "ツールの名称に、目に見えない文字が含まれています（⟨U+200B⟩ のように表示しています）。別のツールに見せかけている可能性があります。"
        }
        (Name::Title, Deceptive::Mixed) => {
            "ツールの名称の一語の中に、異なる種類の文字が混ざっています。別のツールに見せかけている可能性があります。"
        }
        (Name::Title, Deceptive::Imitates) => {
            "ツールの名称は英字のように見えますが、別の種類の文字で書かれています。別のツールに見せかけている可能性があります。"
        }
        (Name::Client, Deceptive::Hidden) => {
            "クライアントの名前に、目に見えない文字が含まれています（⟨U+200B⟩ のように表示しています）。別のクライアントに見せかけている可能性があります。"
        }
        (Name::Client, Deceptive::Mixed) => {
            "クライアントの名前の一語の中に、異なる種類の文字が混ざっています。別のクライアントに見せかけている可能性があります。"
        }
        (Name::Client, Deceptive::Imitates) => {
            "クライアントの名前は英字のように見えますが、別の種類の文字で書かれています。別のクライアントに見せかけている可能性があります。"
        }
        (Name::Publisher, Deceptive::Hidden) => {
            "発行元の名前に、目に見えない文字が含まれています（⟨U+200B⟩ のように表示しています）。別の発行元に見せかけている可能性があります。"
        }
        (Name::Publisher, Deceptive::Mixed) => {
            "発行元の名前の一語の中に、異なる種類の文字が混ざっています。別の発行元に見せかけている可能性があります。"
        }
        (Name::Publisher, Deceptive::Imitates) => {
            "発行元の名前は英字のように見えますが、別の種類の文字で書かれています。別の発行元に見せかけている可能性があります。"
        }
    }
}

fn standing(standing: Standing) -> String {
    match standing {
        Standing::Once(end) => format!("{}までの呼び出し1回に限り許可しています", moment(end)),
        Standing::Session(end) => format!(
            "許可したブラウザーでサインアウトするまで許可しています（最長で{}まで）",
            moment(end)
        ),
        Standing::Later(from, end) => {
            format!("{}から{}まで許可しています", moment(from), moment(end))
        }
        Standing::Until { end, left, lapses } => {
            let mut text = format!("{}まで許可しています", moment(end));
            if let Some(left) = left {
                text.push_str(&format!("（残り{left}回）"));
            }
            if let Some(lapses) = lapses {
                text.push_str(&format!("。使われない場合は{}に終了します", day(lapses)));
            }
            text
        }
        Standing::Lapsed => "許可していましたが、30日間使われなかったため終了しました".to_owned(),
        Standing::Passed(end) => {
            format!("{}まで許可していましたが、期限が過ぎました", moment(end))
        }
        Standing::RefusedTwice(end) => format!(
            "許可していません（2回目）。あなたが変更しない限り、{}までは確認しません",
            moment(end)
        ),
        Standing::Refused(end) => {
            format!(
                "許可していません。{}を過ぎると、また確認します",
                moment(end)
            )
        }
        Standing::RefusedOnce => "許可しませんでした".to_owned(),
        Standing::CallsMade(n) => {
            format!("呼び出し{n}回に限り許可し、すべて使われました")
        }
        Standing::CallRuns => {
            "呼び出し1回に限り許可し、使われました。まだ実行中の可能性があります".to_owned()
        }
        Standing::CallMade => "呼び出し1回に限り許可し、使われました".to_owned(),
        Standing::TakenBack => "取り消し済みです".to_owned(),
        Standing::SignedOut => "サインアウトしたため終了しました".to_owned(),
        Standing::Replaced => "後の決定に置き換えられました".to_owned(),
        Standing::Suspended(why) => {
            format!("停止中です。{}ため、改めて確認します", suspended(why))
        }
    }
}

fn happened(what: Happened) -> String {
    match what {
        Happened::Allowed {
            by_operator,
            scope,
            from,
            end,
            calls,
        } => {
            let who = if by_operator {
                "このサーバーの管理者が代わりに許可しました"
            } else {
                "許可しました"
            };
            let from = from.map(|from| format!("{}から", moment(from)));
            let from = from.unwrap_or_default();
            match (scope, calls) {
                (Scope::Once, _) => format!("{who}（呼び出し1回）"),
                (Scope::Session, _) => format!(
                    "{who}（そのブラウザーでサインアウトするまで、最長で{}まで）",
                    moment(end)
                ),
                (Scope::Until, Some(calls)) => {
                    format!("{who}（{from}{}まで、{calls}回以内）", moment(end))
                }
                (Scope::Until, None) => format!("{who}（{from}{}まで）", moment(end)),
            }
        }
        Happened::Refused { again } => {
            format!("許可しませんでした（{}までは確認しません）", moment(again))
        }
        Happened::Used { times: Some(n) } => {
            format!("最後に使われました（1時間単位の記録、これまでに{n}回）")
        }
        Happened::Used { times: None } => "最後に使われました（1時間単位の記録）".to_owned(),
        Happened::ToolChanged { version } => {
            format!("ここから、変更されたツール（バージョン {version}）で使われています")
        }
        Happened::CallMade => "許可された1回の呼び出しに使われました".to_owned(),
        Happened::CallsMade(n) => format!("許可された{n}回の呼び出しがすべて使われました"),
        Happened::TakenBack => "あなたが取り消しました".to_owned(),
        Happened::TakenBackByOperator => "このサーバーの管理者が取り消しました".to_owned(),
        Happened::SignedOut => "サインアウトしたため、終了しました".to_owned(),
        Happened::ClientChanged => {
            "ここから、変わったクライアントを通じて使われています".to_owned()
        }
        Happened::Suspended(why) => format!("停止しました。{}ためです", suspended(why)),
        Happened::Replaced => "後の決定に置き換えられました".to_owned(),
        Happened::Lapsed => "30日間使われなかったため、終了しました".to_owned(),
        Happened::Passed => "期限が過ぎたため、終了しました".to_owned(),
    }
}

fn suspended(why: Suspension) -> &'static str {
    match why {
        Suspension::Publisher => "別の発行元のツールが同じ名前を使うようになった",
        Suspension::Client => "クライアントのサインイン後の戻り先が以前と変わった",
        Suspension::ClientGone => "クライアント自身が示していた内容を読み取れなくなった",
    }
}
