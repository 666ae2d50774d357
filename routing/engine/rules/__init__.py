"""RULES: one line per condition that a rule may have. ROUTERS: functions of the operator's own, from packages."""

from channels_app.engine.registry import Registry
from routing.engine.rule import Condition

RULES: Registry[Condition] = Registry(
    "routex.rules",
    __name__,
    {
        "background": ".background:Background",
        "complexityLevel": ".judged:ComplexityLevel",
        "contentCategory": ".judged:ContentCategory",
        "customFunction": ".custom_function:CustomFunction",
        "expression": ".expression:Expression",
        "hasCode": ".has_code:HasCode",
        "hasImages": ".has_images:HasImages",
        "hasTools": ".has_tools:HasTools",
        "header": ".header:HeaderIs",
        "image": ".image:NewImage",
        "intent": ".judged:IntentIs",
        "keyTag": ".tag:KeyTag",
        "keywords": ".keywords:Keywords",
        "longContext": ".long_context:LongContext",
        "maxWordCount": ".word_count:MaxWordCount",
        "minWordCount": ".word_count:MinWordCount",
        "modelPattern": ".pattern:ModelPattern",
        "programmingLanguage": ".judged:ProgrammingLanguage",
        "region": ".region:Region",
        "subagent": ".subagent:Subagent",
        "tenantTag": ".tag:TenantTag",
        "think": ".think:Think",
        "time": ".time:TimeOfDay",
        "tokenThreshold": ".token_threshold:TokenThreshold",
        "userPattern": ".pattern:UserPattern",
        "webSearch": ".web_search:WebSearch",
    },
)
