"""The concepts of Stickers: what is drawn, and every name that a caption may call it by.

The names follow the labels and keywords of emojibase-data, without those that would fit another concept too ("animal",
"fruit", "face"). The first name is the concept's own and is never held out of training.
"""

from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True)
class Concept:
    """One thing that can be drawn."""

    icon: str
    """Name of its drawing in the iconify packages."""
    code: str
    """Code point of its emoji, in hexadecimal: the name of its file in the 3D package."""
    names: tuple[str, ...]
    """Its own name, then its synonyms."""
    plural: str = ""
    """Of its own name, where it is not formed by rule."""
    about: str = ""
    """Which group it belongs to; see GROUPS."""

    @property
    def name(self) -> str:
        return self.names[0]


GROUPS = ("animal", "food", "plant", "place", "vehicle", "sky", "thing")


def _group(about: str, rows: str) -> tuple[Concept, ...]:
    """Concepts from lines of "icon | code | names, comma separated | plural if irregular"."""
    concepts = []
    for row in rows.strip().splitlines():
        icon, code, names, *plural = (part.strip() for part in row.split("|"))
        concepts.append(
            Concept(icon, code, tuple(name.strip() for name in names.split(",")), plural[0] if plural else "", about)
        )
    return tuple(concepts)


CONCEPTS: tuple[Concept, ...] = (
    *_group(
        "animal",
        """
        cat-face | 1f431 | cat, kitten, kitty, pussycat
        dog-face | 1f436 | dog, puppy, doggy, hound
        fox | 1f98a | fox, vixen | foxes
        bear | 1f43b | bear, grizzly, teddy
        panda | 1f43c | panda, panda bear, bamboo bear
        lion | 1f981 | lion, king of beasts, male lion
        tiger-face | 1f42f | tiger, striped big cat, bengal tiger
        rabbit-face | 1f430 | rabbit, bunny, hare
        pig-face | 1f437 | pig, piglet, hog, piggy
        frog | 1f438 | frog, toad, tree frog
        monkey-face | 1f435 | monkey, chimp, chimpanzee, ape
        elephant | 1f418 | elephant, african elephant
        unicorn | 1f984 | unicorn, magic horse, horse with a horn
        koala | 1f428 | koala, koala bear, australian marsupial
        mouse-face | 1f42d | mouse, field mouse | mice
        cow-face | 1f42e | cow, milk cow, cattle, heifer
        owl | 1f989 | owl, wise old bird, night owl
        penguin | 1f427 | penguin, emperor penguin, antarctic bird
        front-facing-baby-chick | 1f425 | chick, baby chicken, baby bird
        duck | 1f986 | duck, mallard, drake
        turtle | 1f422 | turtle, tortoise, terrapin
        octopus | 1f419 | octopus, eight-armed sea creature, kraken | octopuses
        spouting-whale | 1f433 | whale, spouting whale
        crab | 1f980 | crab, crustacean, shore crab
        snail | 1f40c | snail, escargot, garden snail
        butterfly | 1f98b | butterfly, winged insect, moth | butterflies
        honeybee | 1f41d | bee, honeybee, bumblebee
        lady-beetle | 1f41e | ladybug, ladybird, lady beetle
        """,
    ),
    *_group(
        "food",
        """
        red-apple | 1f34e | apple, orchard apple, eating apple
        strawberry | 1f353 | strawberry, berry, garden strawberry | strawberries
        banana | 1f34c | banana, peeled banana, plantain
        lemon | 1f34b | lemon, sour citrus, citrus fruit
        cherries | 1f352 | cherries, cherry, sweet cherries, pair of cherries | cherries
        grapes | 1f347 | grapes, bunch of grapes, grape cluster | grapes
        watermelon | 1f349 | watermelon, slice of watermelon, water melon
        pineapple | 1f34d | pineapple, ananas, tropical pineapple
        carrot | 1f955 | carrot, root vegetable, garden carrot
        mushroom | 1f344 | mushroom, toadstool, fungus
        avocado | 1f951 | avocado, avocado half, avocado pear
        pizza | 1f355 | pizza, slice of pizza, pepperoni pizza
        hamburger | 1f354 | hamburger, burger, cheeseburger
        french-fries | 1f35f | fries, french fries, chips | fries
        doughnut | 1f369 | doughnut, donut, glazed ring
        soft-ice-cream | 1f366 | ice cream, ice cream cone, soft serve, icecream
        birthday-cake | 1f382 | cake, birthday cake, layer cake, party cake
        croissant | 1f950 | croissant, crescent roll, french pastry
        hot-beverage | 2615 | coffee, cup of coffee, hot drink, cup of tea | coffees
        """,
    ),
    *_group(
        "plant",
        """
        tulip | 1f337 | tulip, spring tulip, dutch flower
        rose | 1f339 | rose, valentine flower, garden rose
        sunflower | 1f33b | sunflower, sun flower, helianthus
        cactus | 1f335 | cactus, desert plant, saguaro, succulent | cacti
        evergreen-tree | 1f332 | pine tree, evergreen, fir tree, conifer, spruce
        deciduous-tree | 1f333 | tree, leafy tree, oak, deciduous tree
        palm-tree | 1f334 | palm tree, palm, coconut tree
        maple-leaf | 1f341 | maple leaf, autumn leaf, fall leaf | maple leaves
        """,
    ),
    *_group(
        "place",
        """
        house | 1f3e0 | house, home, cottage, residence
        castle | 1f3f0 | castle, fortress, palace, fairytale castle
        tent | 26fa | tent, camping tent, campsite
        volcano | 1f30b | volcano, erupting volcano, fire mountain | volcanoes
        """,
    ),
    *_group(
        "vehicle",
        """
        automobile | 1f697 | car, automobile, auto, motorcar
        bus | 1f68c | bus, coach, city bus | buses
        locomotive | 1f682 | train, locomotive, steam engine, steam train
        bicycle | 1f6b2 | bicycle, bike, push bike
        sailboat | 26f5 | sailboat, sailing boat, yacht, boat
        rocket | 1f680 | rocket, spaceship, space rocket, rocket ship
        airplane | 2708 | airplane, plane, aeroplane, jet
        helicopter | 1f681 | helicopter, chopper, copter
        tractor | 1f69c | tractor, farm tractor, farm vehicle
        """,
    ),
    *_group(
        "sky",
        """
        sun-with-face | 1f31e | sun, sunshine, sun with a face
        crescent-moon | 1f319 | moon, crescent, crescent moon, half moon
        star | 2b50 | star, five-pointed star
        rainbow | 1f308 | rainbow, arc of colors, rainbow arch
        snowman-without-snow | 26c4 | snowman, frosty, man made of snow | snowmen
        fire | 1f525 | fire, flame, blaze, bonfire
        red-heart | 2764 | heart, love heart, valentine heart
        """,
    ),
    *_group(
        "thing",
        """
        umbrella | 2602 | umbrella, parasol, brolly
        balloon | 1f388 | balloon, party balloon, helium balloon
        wrapped-gift | 1f381 | gift, present, wrapped gift, birthday present
        crown | 1f451 | crown, royal crown, tiara
        guitar | 1f3b8 | guitar, electric guitar, rock guitar
        camera | 1f4f7 | camera, photo camera, photographic camera
        closed-book | 1f4d5 | book, closed book, novel, textbook
        light-bulb | 1f4a1 | light bulb, bulb, lightbulb, lamp
        key | 1f511 | key, door key, house key
        alarm-clock | 23f0 | clock, alarm clock, timepiece
        ghost | 1f47b | ghost, phantom, spook, spirit
        robot | 1f916 | robot, android, droid
        jack-o-lantern | 1f383 | pumpkin, jack-o-lantern, halloween pumpkin
        soccer-ball | 26bd | soccer ball, football, ball
        gem-stone | 1f48e | diamond, gem, jewel, gemstone
        top-hat | 1f3a9 | top hat, hat, magician's hat
        anchor | 2693 | anchor, ship's anchor, boat anchor
        """,
    ),
)

MANY_HUES = frozenset({"rainbow"})
"""Concepts whose hues make them what they are."""

NAMES: dict[str, Concept] = {concept.name: concept for concept in CONCEPTS}
"""A concept's own name -> the concept, in the order of CONCEPTS."""


@lru_cache(maxsize=1)
def held_out_synonyms() -> frozenset[tuple[str, str]]:
    """(concept, synonym) pairs that no training caption uses: every tenth of all synonyms in the order of CONCEPTS."""
    pairs = [(concept.name, synonym) for concept in CONCEPTS for synonym in concept.names[1:]]
    return frozenset(pairs[6::10])
