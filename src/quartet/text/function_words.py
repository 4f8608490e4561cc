"""Small words by which phrases are told apart, by language (ISO 639-1)."""

from functools import cache

# A clause or phrase begins with one of these, so a line is best broken before it, and never after it.
_CONJUNCTIONS = {
    "en": "and or but nor so yet because although though while when whenever where wherever who whom whose which that "
    "if unless until till since as than whether what why how before after",
    "fr": "et ou mais ni or car donc que qui quoi dont où quand lorsque lorsqu puisque puisqu parce si comme tandis "
    "comment pourquoi quel quelle quels quelles",
    "de": "und oder aber denn sondern weil dass daß ob wenn als wie während obwohl damit bevor nachdem sobald seit wo "
    "wer was warum",
    "es": "y e o u pero sino ni que quien quienes cual cuales donde cuando como porque aunque si mientras cuyo cuya",
    "it": "e ed o oppure ma né che chi cui quale quali dove quando come perché poiché benché se mentre anche",
    "pt": "e ou mas nem que quem qual quais onde quando como porque embora se enquanto cujo cuja",
    "nl": "en of maar want dat die omdat als wanneer terwijl hoewel zodat toen wie wat waar hoe",
    "sv": "och eller men för att som när om medan eftersom fast där vad vem hur",
    "da": "og eller men for at som når hvis mens fordi hvor hvad hvem hvordan",
    "nb": "og eller men for at som når hvis mens fordi hvor hva hvem hvordan",
    "pl": "i oraz lub albo ale lecz więc że żeby który która które którzy gdy kiedy jeśli bo ponieważ choć jak gdzie",
    "ru": "и или но а да что чтобы который которая которое которые когда если потому хотя как где кто пока",
    "uk": "і й та або але а що щоб який яка яке які коли якщо бо хоча як де хто поки",
}
_PREPOSITIONS = {
    "en": "of in on at to from with without for by about into onto over under between through during against among "
    "across behind beyond near toward towards upon within along around",
    "fr": "de d à en dans sur sous avec sans pour par chez vers entre depuis pendant contre devant derrière avant "
    "après jusque jusqu au aux du des",
    "de": "in im ins an am ans auf aus bei beim mit nach von vom zu zum zur für durch gegen ohne um über unter vor "
    "hinter neben zwischen bis wegen trotz",
    "es": "de del a al en con sin por para sobre bajo entre desde hasta hacia contra según durante tras",
    "it": "di del dello della dei degli delle d a al allo alla ai agli alle all da dal dalla dai dalle dall in nel "
    "nella nei nelle nell su sul sulla sui sulle sull con senza per tra fra verso sotto sopra",
    "pt": "de do da dos das a ao aos à às em no na nos nas num numa com sem por pelo pela pelos pelas para sobre sob "
    "entre desde até contra após",
    "nl": "van in op aan met zonder voor door over onder tussen bij naar uit tot tegen om achter naast sinds",
    "sv": "av i på till från med utan för vid om över under mellan genom mot efter före hos",
    "da": "af i på til fra med uden for ved om over under mellem gennem mod efter før hos",
    "nb": "av i på til fra med uten for ved om over under mellom gjennom mot etter før hos",
    "pl": "w we na z ze do od o u po za pod nad przed przez bez dla przy między",
    "ru": "в во на с со к ко от до из у о об по за под над перед через без для при между",
    "uk": "в у на з із зі до від о об по за під над перед через без для при між",
}
# The next word belongs to one of these: articles, determiners, subject pronouns, auxiliaries, negations.
_BOUND = {
    "en": "a an the this these those my your his her its our their some any no every each i you he she it we they "
    "is are was were am be been being has have had do does did will would shall should can could may might must not "
    "i'm i'll i've i'd you're you'll he's she's it's we're we'll they're they'll don't doesn't didn't can't won't "
    "there very too",
    "fr": "le la les l un une ce cet cette ces mon ma mes ton ta tes son sa ses notre nos votre vos leur leurs chaque "
    "je j tu il elle on nous vous ils elles ne n se s me m te t y est sont était étaient a ont avait avaient "
    "sera seront aura auront fut fait très",
    "de": "der die das den dem des ein eine einen einem einer eines kein keine keinen mein meine dein deine sein seine "
    "ihr ihre unser unsere dieser diese dieses diesen jeder jede jedes ich du er sie es wir man nicht sehr",
    "es": "el la los las un una unos unas lo este esta estos estas ese esa mi mis tu tus su sus nuestro nuestra cada "
    "no se me te le les nos es son era eran ha han había será fue muy yo",
    "it": "il lo la i gli le l un uno una questo questa questi queste mio mia suo sua loro ogni non si mi ti ci vi è "
    "sono era erano ha hanno aveva molto io",
    "pt": "o a os as um uma uns umas este esta esse essa meu minha seu sua cada não se me te lhe é são era eram muito",
    "nl": "de het een deze dit mijn jouw zijn haar ons onze hun elke geen ik jij je hij ze zij wij we er niet zeer",
    "sv": "en ett den det de min din sin hans hennes vår varje ingen jag du han hon vi ni inte mycket",
    "da": "en et den det de min din sin hans hendes vores hver ingen jeg du han hun vi ikke meget",
    "nb": "en ei et den det de min din sin hans hennes vår hver ingen jeg du han hun vi ikke meget",
    "pl": "nie się ten ta to te mój moja twój jego jej nasz każdy",
    "ru": "не ни этот эта это эти мой моя твой его её наш каждый я ты он она мы вы они",
    "uk": "не ні цей ця це ці мій моя твій його її наш кожен я ти він вона ми ви вони",
}


def conjunctions(language: str) -> frozenset[str]:
    """Words that a clause begins with, in small letters; none for a language that is not known here."""
    return _words("conjunctions", language)


def prepositions(language: str) -> frozenset[str]:
    """Words that a phrase of a noun begins with."""
    return _words("prepositions", language)


def bound(language: str) -> frozenset[str]:
    """Words that belong to the next one."""
    return _words("bound", language)


@cache
def _words(kind: str, language: str) -> frozenset[str]:
    table = {"conjunctions": _CONJUNCTIONS, "prepositions": _PREPOSITIONS, "bound": _BOUND}[kind]
    return frozenset(table.get({"no": "nb", "nn": "nb"}.get(language, language), "").split())
