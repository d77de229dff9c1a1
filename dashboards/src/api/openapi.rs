//! The description of the API for programs: OpenAPI 3.1, made from the types that are answered and from the tables of
//! parameters below.

mod operations;

use serde_json::Value;
use utoipa::{
    OpenApi, PartialSchema, ToSchema,
    openapi::{
        ContentBuilder, HeaderBuilder, HttpMethod, KnownFormat, ObjectBuilder, PathItem, Ref, RefOr, Required,
        Response, ResponseBuilder, SchemaFormat, Type,
        path::{OperationBuilder, Parameter, ParameterBuilder, ParameterIn},
        request_body::RequestBodyBuilder,
        schema::Schema,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use self::operations::{HEADERS, Kind, Operation, operations};
use super::{
    catalog::Catalog, cells::Cells, devices, problem::ProblemDocument, reply::Format, series::Series, track::Track,
};
use crate::{
    access::session::{self, Session},
    live::event::{Gap, LiveCells},
};

/// The document as it is served.
pub(crate) fn document() -> String {
    let mut document = Description::openapi();
    for operation in operations() {
        let item = PathItem::new(HttpMethod::Get, operation.described());
        document.paths.paths.insert(operation.path.to_owned(), item);
    }
    describe_credentials(&mut document);
    document.to_pretty_json().expect("a description is always JSON")
}

/// How a client says who it is, and how a browser does.
fn describe_credentials(document: &mut utoipa::openapi::OpenApi) {
    let key = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(
        "An API key of `meridian keys new`, or a token of the configured issuer. Not needed on a loopback address where \
         nobody has made a key",
    ));
    let about = "The cookie that a browser gets for a key";
    let session = SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(session::COOKIE, about)));
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("key", SecurityScheme::Http(key.build()));
    components.add_security_scheme("session", session);
    let none: [&str; 0] = [];
    document.security = Some(
        ["key", "session"]
            .map(|name| SecurityRequirement::new(name, none))
            .to_vec(),
    );
    let Some(item) = document.paths.paths.get_mut(session::PATH) else {
        return;
    };
    let login = ObjectBuilder::new().property("key", String::schema()).required("key");
    let login = ContentBuilder::new().schema(Some(Schema::Object(login.build())));
    let body = RequestBodyBuilder::new()
        .content("application/json", login.build())
        .required(Some(Required::True));
    let who = ContentBuilder::new().schema(Some(Ref::from_schema_name(Session::name().into_owned())));
    let welcome = ResponseBuilder::new().description("Who you are; the cookie comes with it");
    let login = OperationBuilder::new()
        .operation_id(Some("login"))
        .summary(Some("Exchange a key for a cookie that no script can read"))
        .request_body(Some(body.build()))
        .response("200", welcome.content("application/json", who.build()).build());
    item.post = Some(with_problems(login).build());
    let logout = OperationBuilder::new()
        .operation_id(Some("logout"))
        .summary(Some("Forget the cookie"))
        .response("204", Response::new("The browser holds no cookie any more"));
    item.delete = Some(logout.build());
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Meridian query API",
        version = "1",
        description = "What is stored, read only. Times are RFC 3339 text, or Unix seconds or milliseconds. Every answer but streams and `session` has an \
                       `ETag`; refusals are problem documents (RFC 9457).",
        license(name = "Apache-2.0"),
    ),
    components(schemas(
        Cells,
        Series,
        devices::Device,
        devices::Devices,
        devices::NearDevice,
        devices::Nearby,
        Track,
        Catalog,
        LiveCells,
        Gap,
        Session,
        ProblemDocument
    ))
)]
struct Description;

impl Kind {
    fn schema(&self) -> RefOr<Schema> {
        let of_type = |kind| ObjectBuilder::new().schema_type(kind);
        let object = match self {
            Self::Text => return String::schema(),
            Self::Number(least, most, default) => of_type(Type::Number)
                .format(Some(SchemaFormat::KnownFormat(KnownFormat::Double)))
                .minimum(Some(*least))
                .maximum(Some(*most))
                .default(default.map(Value::from)),
            Self::Integer(least, most, default) => of_type(Type::Integer)
                .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int32)))
                .minimum(Some(*least))
                .maximum(Some(*most))
                .default(default.map(Value::from)),
            Self::Choice(words, default) => of_type(Type::String)
                .enum_values(Some(words.iter().copied()))
                .default(default.map(Value::from)),
        };
        Schema::Object(object.build()).into()
    }
}

impl Operation {
    fn described(&self) -> utoipa::openapi::path::Operation {
        let mut operation = OperationBuilder::new()
            .operation_id(Some(self.id))
            .summary(Some(self.summary));
        if self.path.contains('{') {
            for name in ["tenant", "device"] {
                let about = "Letters, digits and `._:-`";
                operation = operation.parameter(parameter(name, &Kind::Text, about, ParameterIn::Path, true));
            }
        }
        for (name, kind, about) in &self.parameters {
            let is_required = self.required.contains(name);
            operation = operation.parameter(parameter(name, kind, about, ParameterIn::Query, is_required));
        }
        for (name, kind, about) in &self.in_head {
            operation = operation.parameter(parameter(name, kind, about, ParameterIn::Header, false));
        }
        if self.formats.len() > 1 {
            let names: Vec<&str> = self.formats.iter().map(|format| format.name()).collect();
            let first = names.first().copied();
            let about = "How the answer is written; none: `json`";
            operation = operation.parameter(parameter(
                "format",
                &Kind::Choice(names, first),
                about,
                ParameterIn::Query,
                false,
            ));
        }
        operation = operation.response("200", self.answer());
        if self.is_tagged {
            operation = operation.response(
                "304",
                Response::new("Nothing changed since the `If-None-Match` of the request"),
            );
        }
        with_problems(operation).build()
    }

    fn answer(&self) -> Response {
        let mut response = ResponseBuilder::new().description("The answer");
        for (name, about) in HEADERS.iter().filter(|(name, _)| self.headers.contains(name)) {
            let header = HeaderBuilder::new().schema(Some(String::schema()));
            response = response.header(*name, header.description(Some(*about)).build());
        }
        if self.formats.is_empty() {
            let data = ContentBuilder::new().schema(Some(Ref::from_schema_name(self.answer.clone())));
            return response.content("text/event-stream", data.build()).build();
        }
        for format in self.formats {
            let content = match format {
                Format::Json => ContentBuilder::new().schema(Some(Ref::from_schema_name(self.answer.clone()))),
                Format::GeoJson | Format::Csv | Format::Arrow => ContentBuilder::new(),
            };
            response = response.content(format.content_type(), content.build());
        }
        response.build()
    }
}

fn with_problems(mut operation: OperationBuilder) -> OperationBuilder {
    for (status, about) in PROBLEMS {
        let content = ContentBuilder::new()
            .schema(Some(Ref::from_schema_name("Problem")))
            .build();
        let response = ResponseBuilder::new().description(*about);
        operation = operation.response(*status, response.content("application/problem+json", content).build());
    }
    operation
}

const PROBLEMS: &[(&str, &str)] = &[
    ("400", "A parameter cannot be used; `parameter` names it"),
    ("401", "No credential, or one that opens nothing"),
    (
        "403",
        "The credential does not allow this, or nothing is answered under this host name",
    ),
    ("404", "There is no such thing for this credential"),
    ("422", "The answer would take too much work"),
    (
        "429",
        "Too many requests, queries at once, or live streams of one tenant or key; see `Retry-After`",
    ),
    (
        "503",
        "The store does not answer, the keys are not known yet, or all live streams are taken; see `Retry-After`",
    ),
];

fn parameter(name: &str, kind: &Kind, about: &str, place: ParameterIn, is_required: bool) -> Parameter {
    let required = match is_required {
        true => Required::True,
        false => Required::False,
    };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .description(Some(about))
        .schema(Some(kind.schema()))
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_is_the_one_that_was_published() {
        let golden = include_str!("../../golden/openapi.json");
        let made = document() + "\n";
        if std::env::var_os("MERIDIAN_UPDATE_GOLDEN").is_some() {
            std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/golden/openapi.json"), &made).unwrap();
            return;
        }
        assert_eq!(
            made, golden,
            "run this test with MERIDIAN_UPDATE_GOLDEN=1, look at the difference, and commit it"
        );
    }

    #[test]
    fn every_path_answers_in_json_or_events_and_refuses_with_problems() {
        let document: serde_json::Value = serde_json::from_str(&document()).unwrap();
        assert!(
            document["openapi"].as_str().unwrap().starts_with("3.1"),
            "{}",
            document["openapi"]
        );
        for (path, item) in document["paths"].as_object().unwrap() {
            let answers = &item["get"]["responses"];
            let format = if path.ends_with("/live") {
                "text/event-stream"
            } else {
                "application/json"
            };
            let schema = answers["200"]["content"][format]["schema"]["$ref"].as_str().unwrap();
            let name = schema.rsplit('/').next().unwrap();
            assert!(document["components"]["schemas"][name].is_object(), "{path}: {schema}");
            for (status, _) in PROBLEMS {
                assert!(
                    answers[status]["content"]["application/problem+json"].is_object(),
                    "{path} {status}"
                );
            }
            let is_tagged = !["/live", "/session"].iter().any(|end| path.ends_with(end));
            assert_eq!(answers["304"].is_object(), is_tagged, "{path}");
        }
    }
}
