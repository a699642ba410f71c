//! The blocks of a reply.

/// One block of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Content {
    /// Text for the model.
    Text(String),
    /// A picture.
    Image(Media),
    /// A recording.
    Audio(Media),
    /// A reference to a resource.
    ResourceLink(ResourceLink),
    /// A resource that travels within the reply.
    Embedded(EmbeddedResource),
}

/// Bytes and what they are. The host encodes them; the tool does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// The bytes as they are.
    pub data: Vec<u8>,
    /// The media type, such as `image/png`.
    pub mime_type: String,
}

/// A reference to a resource, which the reader may fetch by itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResourceLink {
    /// Where the resource is.
    pub uri: String,
    /// The name of the resource, for programs.
    pub name: String,
    /// A title, for people.
    pub title: Option<String>,
    /// What the resource is, for the model.
    pub description: Option<String>,
    /// The media type, where it is known.
    pub mime_type: Option<String>,
    /// The size in bytes, where it is known.
    pub size: Option<u64>,
}

/// A resource with its contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbeddedResource {
    /// The name by which the reader knows the resource.
    pub uri: String,
    /// The media type, where it is known.
    pub mime_type: Option<String>,
    /// The contents.
    pub body: ResourceBody,
}

/// The contents of an embedded resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResourceBody {
    /// Text.
    Text(String),
    /// Bytes as they are.
    Blob(Vec<u8>),
}

impl Content {
    /// A block of text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A picture of a media type such as `image/png`.
    pub fn image(data: impl Into<Vec<u8>>, mime_type: impl Into<String>) -> Self {
        Self::Image(Media::new(data, mime_type))
    }

    /// A recording of a media type such as `audio/wav`.
    pub fn audio(data: impl Into<Vec<u8>>, mime_type: impl Into<String>) -> Self {
        Self::Audio(Media::new(data, mime_type))
    }
}

impl Media {
    /// Bytes of a media type.
    pub fn new(data: impl Into<Vec<u8>>, mime_type: impl Into<String>) -> Self {
        Self {
            data: data.into(),
            mime_type: mime_type.into(),
        }
    }
}

impl ResourceLink {
    /// A link with a name; the other fields are open to be set.
    pub fn new(uri: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            uri: uri.into(),
            name: name.into(),
            ..Self::default()
        }
    }
}

impl EmbeddedResource {
    /// A resource of text.
    pub fn text(
        uri: impl Into<String>,
        mime_type: impl Into<String>,
        text: impl Into<String>,
    ) -> Self {
        Self {
            uri: uri.into(),
            mime_type: Some(mime_type.into()),
            body: ResourceBody::Text(text.into()),
        }
    }

    /// A resource of bytes.
    pub fn blob(
        uri: impl Into<String>,
        mime_type: impl Into<String>,
        blob: impl Into<Vec<u8>>,
    ) -> Self {
        Self {
            uri: uri.into(),
            mime_type: Some(mime_type.into()),
            body: ResourceBody::Blob(blob.into()),
        }
    }
}

impl From<ResourceLink> for Content {
    fn from(link: ResourceLink) -> Self {
        Self::ResourceLink(link)
    }
}

impl From<EmbeddedResource> for Content {
    fn from(resource: EmbeddedResource) -> Self {
        Self::Embedded(resource)
    }
}
