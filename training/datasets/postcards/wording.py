"""The words of the captions: for each attribute, grammatical form and value, the phrases that name it.

No phrase is shared by two values of an attribute. "~" marks where adjectives go; "a" becomes "an" afterwards where
it must. Every form names every value, but the forms in NEEDS_OBJECT, which cannot say that there is no object.
"""

Phrases = dict[str, tuple[str, ...]]

PHRASES: dict[str, dict[str, Phrases]] = {
    "terrain": {
        "noun": {
            "mountains": ("~mountains", "~mountain peaks", "a ~mountain range", "a ~mountain landscape", "~mountains"),
            "hills": ("~hills", "rolling ~hills", "a ~hilly landscape", "~hills", "gentle ~hills"),
            "desert": ("a ~desert", "~sand dunes", "a ~desert landscape", "~dunes", "a ~desert"),
            "sea": ("the ~sea", "the ~ocean", "a ~seascape", "a ~sea coast", "the ~sea"),
            "forest": ("a ~forest", "the ~woods", "a ~woodland", "a ~forest", "a ~forest scene"),
        },
        "place": {
            "mountains": ("in the ~mountains", "in front of ~mountains", "below ~mountain peaks", "in the ~mountains"),
            "hills": ("among ~hills", "in front of rolling ~hills", "in the ~hills", "in a ~hilly landscape"),
            "desert": ("in a ~desert", "in the ~desert", "among ~sand dunes", "among ~dunes"),
            "sea": ("by the ~sea", "by the ~ocean", "at the ~seaside", "on a ~sea coast"),
            "forest": ("in a ~forest", "in the ~woods", "in front of a ~forest", "in a ~woodland"),
        },
        "list": {
            "mountains": ("~mountains", "~mountain range", "~mountain landscape", "~mountains"),
            "hills": ("~hills", "rolling ~hills", "~hilly landscape", "~hills"),
            "desert": ("~desert", "~dunes", "~desert landscape", "~sand dunes"),
            "sea": ("~sea", "~ocean", "~seascape", "~sea"),
            "forest": ("~forest", "~woods", "~woodland", "~forest"),
        },
    },
    "time": {
        "adverb": {
            "dawn": ("at dawn", "at sunrise", "at daybreak", "in the early morning", "at first light"),
            "noon": ("at noon", "at midday", "in broad daylight", "in the middle of the day", "in daylight"),
            "sunset": ("at sunset", "at dusk", "in the evening", "at sundown", "as the day ends"),
            "night": ("at night", "by night", "at midnight", "after dark", "under the night sky"),
        },
        "noun": {
            "dawn": ("dawn", "morning", "sunrise"),
            "noon": ("noon", "midday", "noon"),
            "sunset": ("evening", "sunset", "dusk"),
            "night": ("night", "midnight", "night"),
        },
        "list": {
            "dawn": ("dawn", "sunrise", "early morning", "daybreak"),
            "noon": ("noon", "midday", "daylight", "noon"),
            "sunset": ("sunset", "dusk", "evening", "sundown"),
            "night": ("night", "nighttime", "midnight", "night"),
        },
    },
    "season": {
        "adjective": {
            "plain": ("summer", "summery", "summer", "summertime"),
            "snowy": ("snowy", "snow-covered", "wintry", "winter"),
            "autumn": ("autumn", "autumnal", "fall", "autumn"),
        },
        "adverb": {
            "plain": ("in summer", "in summertime", "in the summer", "in summer"),
            "snowy": ("in winter", "covered in snow", "in the snow", "under fresh snow"),
            "autumn": ("in autumn", "in the fall", "in autumn colors", "with autumn leaves"),
        },
        "list": {
            "plain": ("summer", "summertime", "summer"),
            "snowy": ("snow", "winter", "snowy"),
            "autumn": ("autumn", "fall", "autumn leaves"),
        },
    },
    "sky": {
        "adverb": {
            "sun": ("with the sun in the sky", "under a bright sun", "with a big sun", "with the sun out"),
            "moon": ("with the moon in the sky", "under a crescent moon", "with a crescent moon", "with the moon out"),
            "none": ("with no sun or moon", "without sun or moon", "with neither sun nor moon", "with no sun or moon"),
        },
        "list": {
            "sun": ("sun", "bright sun", "big sun"),
            "moon": ("moon", "crescent moon", "moon"),
            "none": ("no sun or moon", "neither sun nor moon", "no sun or moon"),
        },
    },
    "weather": {
        "adverb": {
            "clear": ("under a clear sky", "with no clouds", "in clear weather", "under a cloudless sky"),
            "cloudy": ("under a cloudy sky", "with puffy clouds", "in cloudy weather", "with big clouds"),
            "foggy": ("in the fog", "with drifting mist", "in foggy weather", "in mist"),
            "rain": ("in the rain", "with rain falling", "in rainy weather", "in pouring rain"),
        },
        "adjective": {
            "clear": ("clear", "cloudless"),
            "cloudy": ("cloudy", "cloudy"),
            "foggy": ("foggy", "misty"),
            "rain": ("rainy", "rainy"),
        },
        "list": {
            "clear": ("clear sky", "no clouds", "cloudless", "clear weather"),
            "cloudy": ("clouds", "cloudy", "puffy clouds", "cloudy weather"),
            "foggy": ("fog", "foggy", "mist", "misty weather"),
            "rain": ("rain", "rainy", "pouring rain", "rainy weather"),
        },
    },
    "object": {
        "noun": {
            "house": ("a ~house", "a ~cottage", "a small ~house", "a ~house"),
            "pine trees": ("~pine trees", "~pines", "three ~pine trees", "~pine trees"),
            "sailboat": ("a ~sailboat", "a ~sailing boat", "a ~boat", "a ~sailboat"),
            "cactus": ("a ~cactus", "a tall ~cactus", "a green ~cactus", "a ~cactus"),
            "castle": ("a ~castle", "an old ~castle", "a ~castle with towers", "a ~castle"),
            "lighthouse": ("a ~lighthouse", "a striped ~lighthouse", "a tall ~lighthouse", "a ~lighthouse"),
        },
        "adverb": {
            "none": (
                "with nothing in the foreground",
                "with an empty foreground",
                "with nothing in front",
                "without any object",
            ),
            "house": (
                "with a house",
                "with a cottage",
                "with a small house in front",
                "with a house in the foreground",
            ),
            "pine trees": ("with pine trees", "with pines", "with pine trees in front", "with pines in the foreground"),
            "sailboat": ("with a sailboat", "with a boat", "with a sailing boat", "with a sailboat in the foreground"),
            "cactus": (
                "with a cactus",
                "with a tall cactus",
                "with a cactus in front",
                "with a cactus in the foreground",
            ),
            "castle": (
                "with a castle",
                "with an old castle",
                "with a castle in front",
                "with a castle in the foreground",
            ),
            "lighthouse": (
                "with a lighthouse",
                "with a striped lighthouse",
                "with a lighthouse in front",
                "with a lighthouse in the foreground",
            ),
        },
        "list": {
            "none": ("empty foreground", "no object", "nothing in front"),
            "house": ("~house", "~cottage", "small ~house"),
            "pine trees": ("~pine trees", "~pines", "~pine trees"),
            "sailboat": ("~sailboat", "~sailing boat", "~boat"),
            "cactus": ("~cactus", "tall ~cactus", "~cactus"),
            "castle": ("~castle", "old ~castle", "~castle"),
            "lighthouse": ("~lighthouse", "striped ~lighthouse", "~lighthouse"),
        },
    },
    "style": {
        "prefix": {
            "plain": ("a plain picture of", "a plain illustration of", "a simple illustration of", "a plain image of"),
            "flat poster": ("a flat poster of", "a poster of", "a travel poster of", "a flat poster showing"),
            "pixel art": ("pixel art of", "a pixel art picture of", "an 8-bit picture of", "pixel art showing"),
            "ink drawing": ("an ink drawing of", "a pen and ink drawing of", "an ink sketch of", "a line drawing of"),
            "neon": ("a neon picture of", "neon art of", "a glowing neon drawing of", "neon lines showing"),
            "watercolor": (
                "a watercolor of",
                "a watercolor painting of",
                "a watercolour of",
                "a painting in watercolor of",
            ),
        },
        "suffix": {
            "plain": ("plain style", "in a plain style", "plain illustration", "simple illustration"),
            "flat poster": ("flat poster", "as a poster", "poster style", "flat travel poster"),
            "pixel art": ("pixel art", "in pixel art", "pixel art style", "8-bit style"),
            "ink drawing": ("ink drawing", "drawn in ink", "pen and ink", "ink sketch"),
            "neon": ("neon", "in neon", "neon style", "glowing neon"),
            "watercolor": ("watercolor", "in watercolor", "watercolor style", "watercolor painting"),
        },
        "adjective": {
            "plain": ("plain", "plain"),
            "flat poster": ("flat poster", "poster"),
            "pixel art": ("pixel art", "8-bit"),
            "ink drawing": ("ink", "ink-drawn"),
            "neon": ("neon", "neon"),
            "watercolor": ("watercolor", "watercolor"),
        },
    },
}

NEEDS_OBJECT = (("object", "noun"),)
"""The forms that cannot name "none"."""

SCENES = ("a ~landscape", "a ~scene", "a ~landscape", "~scenery", "a ~postcard")
"""What a caption is about when it names neither terrain nor object."""

LIST_SCENES = ("~landscape", "~scene", "~scenery", "~postcard")

OPENINGS = ("", "", "", "", "a view of", "a scene with", "this is", "here is")
"""How a caption without a style in front may begin."""

MEETINGS = ("on a", "on a", "during a")
"""Before weather and time said together: "on a rainy evening"."""
