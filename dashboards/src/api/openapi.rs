//! The description of the API for programs: OpenAPI 3.1, made from the types that are answered and from the tables of
//! parameters below.

use utoipa::{
    OpenApi, PartialSchema, ToSchema,
    openapi::{
        ContentBuilder, HttpMethod, ObjectBuilder, PathItem, Ref, RefOr, Required, Response, ResponseBuilder, Type,
        path::{OperationBuilder, Parameter, ParameterBuilder, ParameterIn},
        request_body::RequestBodyBuilder,
        schema::Schema,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use super::{
    catalog::Catalog, cells::Cells, devices, problem::ProblemDocument, reply::Format, series::Series, track::Track,
    view::Aggregate,
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
        description = "What is stored, read only. Times are RFC 3339 text or Unix milliseconds. Every answer has an \
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

/// What a parameter may be.
enum Kind {
    Text,
    Number,
    Integer,
    Choice(Vec<&'static str>),
}

/// A parameter: name, kind, meaning. Whether it must be given is said by the operation.
type Described = (&'static str, Kind, &'static str);

struct Operation {
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    answer: String,
    /// None: a stream of events.
    formats: &'static [Format],
    in_path: bool,
    required: &'static [&'static str],
    parameters: Vec<Described>,
}

const ALL_FORMATS: &[Format] = &[Format::Json, Format::GeoJson, Format::Csv, Format::Arrow];

fn operations() -> Vec<Operation> {
    vec![
        Operation {
            path: "/api/v1/cells",
            id: "cells",
            summary: "Hexagons in view: one value for each over the whole range",
            answer: Cells::name().into_owned(),
            formats: ALL_FORMATS,
            in_path: false,
            required: &["metric"],
            parameters: join(
                view(),
                [
                    bbox("Cells whose centre lies in it"),
                    resolution("H3 resolution; none: one that fits the view"),
                ],
            ),
        },
        Operation {
            path: "/api/v1/series",
            id: "series",
            summary: "One value for each bucket: of a tenant, a box, a cell or a device",
            answer: Series::name().into_owned(),
            formats: &[Format::Json, Format::Csv, Format::Arrow],
            in_path: false,
            required: &["metric"],
            parameters: join(
                view(),
                [
                    ("cell", Kind::Text, "H3 cell, 15 hexadecimal digits"),
                    (
                        "device",
                        Kind::Text,
                        "One device, from its measurements; of every tenant that has one of this name, unless `tenant` chooses",
                    ),
                    bbox("Cells at `res` whose centre lies in it"),
                    resolution("H3 resolution of the cells in a `bbox`; none: 9"),
                ],
            ),
        },
        Operation {
            path: "/api/v1/devices",
            id: "devices",
            summary: "Last known state of devices, in the order of their names",
            answer: devices::Devices::name().into_owned(),
            formats: ALL_FORMATS,
            in_path: false,
            required: &[],
            parameters: vec![
                tenant(),
                bbox("Devices whose last position lies in it"),
                (
                    "search",
                    Kind::Text,
                    "Devices with this in their name, whatever the case of letters",
                ),
                limit(),
                cursor(),
            ],
        },
        Operation {
            path: "/api/v1/devices/{tenant}/{device}",
            id: "device",
            summary: "Last known state of one device",
            answer: devices::Device::name().into_owned(),
            formats: &[Format::Json],
            in_path: true,
            required: &[],
            parameters: Vec::new(),
        },
        Operation {
            path: "/api/v1/devices/{tenant}/{device}/track",
            id: "track",
            summary: "Where a device was",
            answer: Track::name().into_owned(),
            formats: ALL_FORMATS,
            in_path: true,
            required: &[],
            parameters: join(range(), [limit(), cursor()]),
        },
        nearby(),
        live(),
        Operation {
            path: session::PATH,
            id: "session",
            summary: "Who asks, and what may be asked",
            answer: Session::name().into_owned(),
            formats: &[Format::Json],
            in_path: false,
            required: &[],
            parameters: Vec::new(),
        },
        Operation {
            path: "/api/v1/metrics-catalog",
            id: "metricsCatalog",
            summary: "What is measured, and when last",
            answer: Catalog::name().into_owned(),
            formats: &[Format::Json, Format::Csv],
            in_path: false,
            required: &[],
            parameters: vec![tenant()],
        },
    ]
}

fn live() -> Operation {
    let adding_up = ["avg", "count", "sum", "min", "max"];
    Operation {
        path: "/api/v1/live",
        id: "live",
        summary: "Hexagons of the open bucket as they change: events `snapshot`, `delta` and `gap`",
        answer: LiveCells::name().into_owned(),
        formats: &[],
        in_path: false,
        required: &["metric"],
        parameters: vec![
            ("metric", Kind::Text, "One of the metrics catalog"),
            tenant(),
            (
                "agg",
                Kind::Choice(adding_up.to_vec()),
                "What is made of the values; none: `avg`",
            ),
            (
                "period",
                Kind::Integer,
                "Seconds, a stored period; none: the shortest one",
            ),
            bbox("Cells whose centre lies in it; none: the world"),
            resolution("H3 resolution; none: as fits the box"),
        ],
    }
}

fn nearby() -> Operation {
    Operation {
        path: "/api/v1/nearby",
        id: "nearby",
        summary: "Devices nearest to a place, by great-circle distance",
        answer: devices::Nearby::name().into_owned(),
        formats: &[Format::Json, Format::GeoJson],
        in_path: false,
        required: &["lat", "lon"],
        parameters: vec![
            tenant(),
            ("lat", Kind::Number, "Degrees"),
            ("lon", Kind::Number, "Degrees"),
            ("radius_m", Kind::Number, "Greatest distance; none: everywhere"),
            limit(),
        ],
    }
}

fn join<const N: usize>(mut first: Vec<Described>, second: [Described; N]) -> Vec<Described> {
    first.extend(second);
    first
}

fn tenant() -> Described {
    ("tenant", Kind::Text, "Of this tenant only; none: all of them")
}

fn range() -> Vec<Described> {
    vec![
        (
            "from",
            Kind::Text,
            "RFC 3339 text or Unix milliseconds; none: an hour before `to`",
        ),
        ("to", Kind::Text, "Not part of the range; none: now"),
    ]
}

fn view() -> Vec<Described> {
    let aggregates = Aggregate::ALL.iter().map(|(name, _)| *name).collect();
    let mut parameters = join(
        range(),
        [
            tenant(),
            ("metric", Kind::Text, "One of the metrics catalog"),
            (
                "agg",
                Kind::Choice(aggregates),
                "What is made of the values; none: `avg`",
            ),
            (
                "period",
                Kind::Integer,
                "Seconds; the range is widened to whole periods; none: as fits the range",
            ),
        ],
    );
    parameters.rotate_left(2);
    parameters
}

fn bbox(which: &'static str) -> Described {
    ("bbox", Kind::Text, which)
}

fn resolution(default: &'static str) -> Described {
    ("res", Kind::Integer, default)
}

fn limit() -> Described {
    ("limit", Kind::Integer, "How many at most")
}

fn cursor() -> Described {
    ("cursor", Kind::Text, "`next` of the page before")
}

impl Kind {
    fn schema(&self) -> RefOr<Schema> {
        match self {
            Self::Text => String::schema(),
            Self::Number => f64::schema(),
            Self::Integer => u32::schema(),
            Self::Choice(words) => {
                let object = ObjectBuilder::new().schema_type(Type::String);
                Schema::Object(object.enum_values(Some(words.iter().copied())).build()).into()
            }
        }
    }
}

impl Operation {
    fn described(&self) -> utoipa::openapi::path::Operation {
        let mut operation = OperationBuilder::new()
            .operation_id(Some(self.id))
            .summary(Some(self.summary));
        if self.in_path {
            for name in ["tenant", "device"] {
                let about = "Letters, digits and `._:-`";
                operation = operation.parameter(parameter(name, &Kind::Text, about, ParameterIn::Path, true));
            }
        }
        for (name, kind, about) in &self.parameters {
            let is_required = self.required.contains(name);
            operation = operation.parameter(parameter(name, kind, about, ParameterIn::Query, is_required));
        }
        if self.formats.len() > 1 {
            let names = self.formats.iter().map(|format| format.name()).collect();
            let about = "How the answer is written; none: `json`";
            operation = operation.parameter(parameter(
                "format",
                &Kind::Choice(names),
                about,
                ParameterIn::Query,
                false,
            ));
        }
        operation = operation.response("200", self.answer());
        operation = operation.response(
            "304",
            Response::new("Nothing changed since the `If-None-Match` of the request"),
        );
        with_problems(operation).build()
    }

    fn answer(&self) -> Response {
        let mut response = ResponseBuilder::new().description("The answer");
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
        "Too many requests, or too many queries at once; see `Retry-After`",
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
        }
    }
}
